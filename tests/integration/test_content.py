"""Whether files are the commit's, told by their content where git can be made to believe it."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.repositories import Project

from feastflow_registry.config.command_line import child_environ
from feastflow_registry.git.clone import Git
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.references import Commit


@pytest.fixture
def git(project: Project) -> Git:
    (project.folder / ".git/info").mkdir(exist_ok=True)
    return Git(project.folder, os.environ)


def overlooked(project: Project) -> None:
    """The index says that the file is as it was."""
    project.git("config", "filter.lie.clean", "echo one; cat > /dev/null")
    (project.folder / ".git/info/attributes").write_text("program filter=lie\n")
    (project.folder / "program").write_text("two")
    project.git("add", "program")


def by_an_attribute_file_of_ones_own(project: Project) -> None:
    project.git("config", "filter.lie.clean", "echo one; cat > /dev/null")
    (project.folder / ".gitattributes").write_text("program filter=lie\n")
    (project.folder / "program").write_text("two")
    project.git("add", "program")


def by_line_ends(project: Project) -> None:
    (project.folder / ".git/info/attributes").write_text("program text\n")
    (project.folder / "program").write_bytes(b"one\r\n")
    project.git("add", "program")


def by_a_link(project: Project) -> None:
    """What a file of this content would be, where links are written as files."""
    project.git("config", "core.symlinks", "false")
    (project.folder / "link").unlink()
    (project.folder / "link").write_text("program")
    project.git("add", "link")


def hidden_in_the_index(project: Project) -> None:
    (project.folder / "program").write_text("two")
    project.git("update-index", "--assume-unchanged", "program")


LIES = [overlooked, by_an_attribute_file_of_ones_own, by_line_ends, by_a_link, hidden_in_the_index]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: str(lie.__name__))
def test_no_lie_makes_a_changed_file_the_commits(
    project: Project, git: Git, lie: Callable[[Project], None]
) -> None:
    (project.folder / "link").symlink_to("program")
    commit = Commit(project.commit({"program": "one\n"}))
    git.ensure(commit, by_content=True)
    lie(project)
    with pytest.raises(Failure, match="tracked files differ"):
        git.ensure(commit, by_content=True)


def test_what_the_commits_own_attributes_change_is_the_commits(project: Project, git: Git) -> None:
    """Such as Windows' line ends, and files that are kept elsewhere."""
    project.git("config", "filter.kept.clean", "tr a-z A-Z")
    project.git("config", "filter.kept.smudge", "tr A-Z a-z")
    attributes = "*.bat text eol=crlf\n*.big filter=kept\n"
    commit = Commit(
        project.commit({".gitattributes": attributes, "run.bat": "a\nb\n", "x.big": "big"})
    )
    for name in ("run.bat", "x.big"):
        (project.folder / name).unlink()
    project.git("checkout", "--", ".")
    assert (project.folder / "run.bat").read_bytes() == b"a\r\nb\r\n"
    git.ensure(commit, by_content=True)
    (project.folder / "run.bat").write_bytes(b"a\r\nc\r\n")
    with pytest.raises(Failure, match=r"run\.bat"):
        git.ensure(commit, by_content=True)


@pytest.fixture
def inner(project: Project, tmp_path: Path) -> Path:
    """A submodule that is checked out."""
    (tmp_path / "library").mkdir()
    library = Project.create(tmp_path / "library")
    library.commit({"code": "one\n"})
    allow = ("-c", "protocol.file.allow=always")
    project.git(*allow, "submodule", "--quiet", "add", str(library.folder), "lib")
    project.commit()
    return project.folder / "lib"


def test_a_submodule_is_looked_into(project: Project, git: Git, inner: Path) -> None:
    commit = Commit(project.head)
    git.ensure(commit, by_content=True)
    (inner / "code").write_text("two\n")
    project.git("-C", str(inner), "update-index", "--assume-unchanged", "code")
    with pytest.raises(Failure, match="lib/code"):
        git.ensure(commit, by_content=True)


def test_a_submodule_without_its_repository_is_not_the_commits(
    project: Project, git: Git, inner: Path
) -> None:
    (inner / ".git").unlink()
    (inner / "code").write_text("two\n")
    with pytest.raises(Failure, match="lib"):
        git.ensure(Commit(project.head), by_content=True)


def test_a_forged_object_makes_no_file_the_commits(project: Project, git: Git) -> None:
    project.commit({"deep/feastflow.yml": "registry: docker.io\n"})
    assert git.is_committed("deep/feastflow.yml")
    file = project.folder / "deep/feastflow.yml"
    evil = b"registry: evil.example\n"
    file.write_bytes(evil)
    assert not git.is_committed("deep/feastflow.yml")
    name = project.git("rev-parse", "HEAD:deep/feastflow.yml").strip()
    loose = project.folder / ".git/objects" / name[:2] / name[2:]
    loose.chmod(0o644)
    loose.write_bytes(zlib.compress(b"blob %d\0" % len(evil) + evil))
    assert not git.is_committed("deep/feastflow.yml")


def test_a_name_that_ends_alike_is_another_file(project: Project, git: Git) -> None:
    project.commit({"1 feastflow.yml": "evil", "feastflow.yml": "good"})
    (project.folder / "feastflow.yml").write_text("evil")
    assert not git.is_committed("feastflow.yml")
    assert git.is_committed("1 feastflow.yml")


@pytest.mark.parametrize("path", ["missing", "deep", "deep/missing", "deep/a/b", "../x"])
def test_what_head_does_not_have_is_not_committed(project: Project, git: Git, path: str) -> None:
    project.commit({"deep/a": "a"})
    assert not git.is_committed(path)


def test_grafts_are_not_looked_at(project: Project, git: Git) -> None:
    first, second = Commit(project.head), Commit(project.commit())
    unrelated = hashlib.sha1(b"x", usedforsecurity=False).hexdigest()
    (project.folder / ".git/info/grafts").write_text(f"{second} {unrelated}\n")
    assert git.ancestors(second)[0] == first


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("in_runner", [True, False])
def test_a_job_trusts_its_workspace_whoever_owns_it(project: Project, in_runner: bool) -> None:
    """As in a job's container, where it belongs to the runner's user."""
    for path in (project.folder, *project.folder.rglob("*")):
        os.chown(path, 1001, 1001, follow_symlinks=False)
    named = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "SUDO_UID": ""}
    environ = child_environ({**named, "GITHUB_ACTIONS": "true" if in_runner else ""})
    git = Git(project.folder, environ)
    if in_runner:
        assert git.checkout("main").head.sha
    else:
        with pytest.raises(Failure, match="does not trust"):
            git.checkout("main")
