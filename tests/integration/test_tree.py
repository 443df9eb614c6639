"""What a working copy holds, whatever git sees of it: real repositories, and what misleads git."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from support.random_histories import ENVIRON, look
from support.random_trees import (
    Command,
    Edit,
    Hide,
    Inner,
    LineEnds,
    Lines,
    Link,
    Mode,
    Move,
    Special,
    Submodule,
    WorkingCopy,
    Write,
)
from support.repositories import Project
from support.soak import one_in

from feastflow_registry.git.clone import Git
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.history import SUBMODULE, Tree
from feastflow_registry.model.references import Commit

CRLF = Lines(".gitattributes", ("*.txt text eol=crlf",))


@pytest.fixture
def checkout(tmp_path: Path) -> WorkingCopy:
    """A repository of several services, all of it committed."""
    checkout = WorkingCopy(tmp_path)
    checkout.commit(everything=True)
    return checkout


@pytest.fixture
def git(project: Project) -> Git:
    return Git(project.folder, ENVIRON)


def tree_of(checkout: WorkingCopy, *edits: Edit) -> Tree:
    for edit in edits:
        edit.to(checkout)
    return Git(checkout.folder, ENVIRON).tree()


def test_a_tree_names_what_is_tracked_with_its_modes(project: Project, git: Git) -> None:
    program = project.folder / "bin/run"
    project.commit({"bin/run": "#!/bin/sh\n", "a/b/c": "", "a/b/é": ""})
    program.chmod(0o4750)
    (project.folder / "a/b").chmod(0o700)
    (project.folder / "link").symlink_to("a/b")
    project.commit()
    tree = git.tree()
    assert tree.files == {
        "Dockerfile": "100644",
        "a/b/c": "100644",
        "a/b/é": "100644",
        "bin/run": "104750",
        "link": "120777",
        "page.html": "100644",
    }
    assert tree.folders == {"a": "40755", "a/b": "40700", "bin": "40755"}
    assert tree.untracked == ()


def test_everything_else_is_untracked(checkout: WorkingCopy) -> None:
    tree = tree_of(
        checkout,
        Lines(".gitignore", ("*.o", "build")),
        Write("web/new", b""),
        Write("web/ignored.o", b""),
        Write("web/build/deep/x", b""),
        Special("api/empty/inside"),
        Special("api/pipe", pipe=True),
        Link("lib/link", "a"),
        Move("job/a", "job/moved"),
    )
    assert tree.untracked == (
        ".gitignore",
        "api/empty",
        "api/pipe",
        "job/moved",
        "lib/link",
        "web/build",
        "web/ignored.o",
        "web/new",
    )
    assert "job/a" not in tree.files


@pytest.mark.parametrize("folder", ["web", "web/deep", "web/new"])
def test_a_repository_inside_is_not_overlooked(checkout: WorkingCopy, folder: str) -> None:
    """Where git finds a `.git`, it names neither that nor, in a new folder, anything else."""
    (checkout.folder / folder).mkdir(exist_ok=True)
    found = tree_of(checkout, Inner(folder, b"")).untracked
    assert found == (folder if folder == "web/new" else f"{folder}/.git",)


def test_a_submodule_is_known_for_one(checkout: WorkingCopy) -> None:
    tree = tree_of(checkout, Submodule("web/sub"))
    assert tree.files["web/sub"] == SUBMODULE
    assert not [name for name in (*tree.folders, *tree.untracked) if "sub" in name]


@pytest.mark.parametrize("kept", [True, False])
def test_a_folder_or_file_in_the_place_of_another_is_not_that(
    checkout: WorkingCopy, kept: bool
) -> None:
    (checkout.folder / "web/deep").rename(checkout.folder / ("web/old" if kept else "../gone"))
    (checkout.folder / "web/deep").symlink_to("old")
    (checkout.folder / "web/a").unlink()
    (checkout.folder / "web/a").mkdir()
    tree = tree_of(checkout)
    assert set(tree.untracked) == {"web/deep", "web/a", *(["web/old"] if kept else [])}
    assert not [name for name in (*tree.files, *tree.folders) if name.startswith("web/deep")]


def test_names_of_any_bytes_stay_apart(project: Project, git: Git) -> None:
    names = [b"a\nb", b"a\rb", b"a\r\nb", b"a\tb", b'"a"', b"a\\b", b" a ", b"\xfe", b"\xff", b"-v"]
    folder = os.fsencode(project.folder) + b"/odd/"
    Path(os.fsdecode(folder)).mkdir()
    for name in names:
        Path(os.fsdecode(folder + name)).write_bytes(name)
    assert git.tree().untracked == ("odd",)
    project.commit()
    tree = git.tree()
    found = {name: tree.digest(name) for name in tree.files if name.startswith("odd/")}
    expected = {os.fsdecode(b"odd/" + n): hashlib.sha256(n).hexdigest() for n in names}
    assert found == expected
    assert tree.untracked == ()


def test_a_hidden_file_of_any_name_is_refused(project: Project, git: Git) -> None:
    odd = project.folder / os.fsdecode(b"\xff")
    odd.write_text("one")
    commit = Commit(project.commit())
    project.git("update-index", "--skip-worktree", "--", odd.name)
    odd.write_text("two")
    with pytest.raises(Failure, match="tracked files differ"):
        git.ensure(commit)


def test_what_is_on_disk_is_summed_up(checkout: WorkingCopy) -> None:
    def sha(text: bytes) -> str:
        return hashlib.sha256(text).hexdigest()

    tree = tree_of(checkout, Hide("web/a", "assume-unchanged", b"new"), Link("api/a", "nowhere"))
    assert tree.digest("web/a") == sha(b"new")
    assert tree.digest("web/b.txt") == sha(b"web\n")
    assert tree.digest("api/a") == sha(b"nowhere")
    (checkout.folder / "lib/a").unlink()
    assert tree.digest("lib/a") == ""


def test_what_a_sparse_checkout_leaves_out_is_not_there(checkout: WorkingCopy) -> None:
    tree = tree_of(checkout, Command(("sparse-checkout", "set", "--no-cone", "/*", "!b.txt")))
    assert "web/a" in tree.files
    assert "web/b.txt" not in tree.files
    assert tree.untracked == ()


UNSEEN: dict[str, tuple[Edit, ...]] = {
    "a file that others may read no more": (Mode("web/a", 0o600),),
    "a folder that others may enter no more": (Mode("web/deep", 0o700),),
    "an untracked file": (Write("web/new", b""),),
    "an ignored file": (Lines(".git/info/exclude", ("new",)), Write("web/new", b"")),
    "an empty folder": (Special("web/deep/new"),),
    "a pipe": (Special("web/deep/new", pipe=True),),
    "a repository around tracked files": (Inner("web/deep", b""),),
    "a repository without tracked files": (Special("web/new"), Inner("web/new", b"")),
    "a linked worktree's mark": (Write("web/.git", f"gitdir: {os.devnull}".encode()),),
}


@pytest.mark.parametrize("edits", UNSEEN.values(), ids=UNSEEN.keys())
def test_what_git_does_not_see_is_never_unchanged(
    checkout: WorkingCopy, edits: tuple[Edit, ...]
) -> None:
    commit = Commit(checkout.commit(everything=False))
    before = look(checkout, commit)["web"]
    assert before.digest
    for edit in edits:
        edit.to(checkout)
    after = look(checkout, commit)["web"]
    assert after.digest != before.digest
    assert bool(after.digest) != bool(after.doubt)


def test_other_line_ends_are_another_file(checkout: WorkingCopy) -> None:
    """git takes them for the same, as it writes them by the attributes on its own way."""
    Lines(".gitattributes", ("*.txt text",)).to(checkout)
    commit = Commit(checkout.commit(everything=True))
    before = look(checkout, commit)["web"].digest
    LineEnds("web/b.txt").to(checkout)
    assert checkout.git("add", "web/b.txt")
    assert look(checkout, commit)["web"].digest not in ("", before)


@pytest.mark.parametrize(
    "edits",
    [(CRLF,), (Lines(".gitattributes", ("*.txt filter=case",)),)],
    ids=["line ends", "a filter"],
)
def test_a_checkout_that_is_older_than_its_attributes(
    checkout: WorkingCopy, edits: tuple[Edit, ...]
) -> None:
    """A new attribute rewrites no file that is there already, but every one of a clone."""
    for edit in edits:
        edit.to(checkout)
    commit = Commit(checkout.commit(everything=True))
    here = look(checkout, commit)["web"].digest
    checkout.clone(0o022)
    there = look(checkout, commit)["web"].digest
    assert here
    assert there
    assert here != there


def test_another_umask_makes_other_images(checkout: WorkingCopy) -> None:
    commit = Commit(checkout.commit(everything=True))
    prints = set()
    for umask in (0o022, 0o002, 0o022):
        checkout.clone(umask)
        prints.add(look(checkout, commit)["web"].digest)
    assert len(prints - {""}) == 2


@pytest.mark.parametrize("how", ["assume-unchanged", "skip-worktree"])
def test_what_git_is_told_not_to_look_at_is_refused(checkout: WorkingCopy, how: str) -> None:
    commit = Commit(checkout.commit(everything=True))
    Hide("web/a", how, b"new").to(checkout)
    assert look(checkout, commit) == {}


MISLEADING = [
    ("core.fileMode", "false"),
    ("core.trustctime", "false"),
    ("core.checkStat", "minimal"),
    ("core.ignoreStat", "true"),
    ("core.fsmonitor", "true"),
    ("color.ui", "always"),
    ("i18n.logOutputEncoding", "UTF-16"),
    ("log.showSignature", "true"),
]


@pytest.mark.parametrize(("name", "value"), one_in(3, MISLEADING), ids=str)
def test_no_configuration_makes_git_overlook_a_change(
    project: Project, git: Git, name: str, value: str
) -> None:
    program = project.folder / "program"
    commit = Commit(project.commit({"program": "one"}))
    # Older than the index, or git would compare its content in any case.
    os.utime(program, (hour_ago := time.time() - 3600, hour_ago))
    project.git("config", name, value)
    project.git("update-index", "--refresh")
    git.ensure(commit)
    assert git.checkout("main").head == commit
    assert next(each.commit for each in git.revisions()) == commit
    program.chmod(0o755)
    with pytest.raises(Failure, match="tracked files differ"):
        git.ensure(commit)
    program.chmod(0o644)
    before = program.stat()
    probe = project.folder.with_name("probe")
    probe.touch()
    while int(probe.stat().st_ctime) == int(before.st_ctime):  # Git compares whole seconds.
        time.sleep(0.01)
        probe.touch()  # The file system's clock is a little behind.
    program.write_text("two")
    os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(Failure, match="tracked files differ"):
        git.ensure(commit)


def test_another_work_tree_is_not_looked_at(project: Project, git: Git, tmp_path: Path) -> None:
    commit = Commit(project.commit({"program": "one"}))
    clean = project.clone(tmp_path / "clean")
    project.git("config", "core.worktree", str(clean))
    (project.folder / "program").write_text("two")
    with pytest.raises(Failure, match="tracked files differ"):
        git.ensure(commit)


def test_a_commit_that_is_replaced_is_still_the_commit(project: Project, git: Git) -> None:
    real = Commit(project.commit({"program": "one"}))
    other = project.commit({"program": "two"})
    project.git("replace", real.sha, other)
    project.git("reset", "--quiet", "--hard", real.sha)
    assert (project.folder / "program").read_text() == "two"
    with pytest.raises(Failure, match="tracked files differ"):
        git.ensure(real)


def test_a_program_of_the_configuration_is_not_run(
    project: Project, git: Git, tmp_path: Path
) -> None:
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    spy.chmod(0o755)
    project.git("config", "core.fsmonitor", str(spy))
    commit = Commit(project.commit(push=False))
    (tmp_path / "ran").unlink(missing_ok=True)
    git.ensure(commit)
    git.tree()
    assert not (tmp_path / "ran").exists()
