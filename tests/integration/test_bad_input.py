"""Bad input on real files and real engines: refused before the first request, each with its fix."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.failures import check_shown
from support.machine import Machine, Ran
from support.registries import LocalRegistry

from feastflow_registry.builder.diagnosis import is_denied


def _refused(machine: Machine, ran: Ran, code: int = 2) -> list[str]:
    """Assert that nothing was sent, and that each error is a cause and a fix."""
    ran.ended(code)
    assert machine.place.proxy.requests == ()
    assert machine.place.tags() == {}
    for error in ran.errors:
        check_shown(error)
    assert machine.place.token not in ran.shown
    return ran.errors


def _outside(folder: Path, kind: str) -> dict[str, Any]:
    """Lead a build out of its repository, in one of several ways."""
    away = folder.parent / "away"
    away.mkdir(exist_ok=True)
    (away / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    if kind == "context by ..":
        return {"context": "../away"}
    if kind == "dockerfile by ..":
        return {"dockerfile": "../away/Dockerfile"}
    link = folder / "link"
    if kind == "context by symlink":
        link.symlink_to(away)
        return {"context": "link"}
    if kind == "context by .. behind a symlink":
        (folder / "deep/down").mkdir(parents=True)
        (folder / "deep/Dockerfile").write_text("FROM scratch\n")
        link.symlink_to("deep/down")
        (folder.parent / "Dockerfile").write_text("FROM scratch\nCOPY away /\n")
        return {"context": "link/.."}
    if kind == "dockerfile by symlink":
        link.symlink_to(away / "Dockerfile")
        return {"dockerfile": "link"}
    link.symlink_to(link)
    return {"context": "link"}


@pytest.mark.parametrize(
    "kind",
    [
        "context by ..",
        "dockerfile by ..",
        "context by symlink",
        "context by .. behind a symlink",
        "dockerfile by symlink",
        "a loop of links",
    ],
)
def test_a_build_stays_inside_the_repository(machine: Machine, kind: str) -> None:
    inputs = _outside(machine.project.folder, kind)
    [error] = _refused(machine, machine.call(machine.runner(**inputs)))
    assert "lies outside the repository" in error
    assert "Building" not in error


def test_a_missing_dockerfile_is_named_with_the_rule(machine: Machine) -> None:
    (machine.project.folder / "app").mkdir()
    [error] = _refused(machine, machine.call(machine.runner(context="app")))
    assert "there is no file 'app/Dockerfile'" in error
    assert "There is 'Dockerfile': give its folder in context, and its name in dockerfile." in error
    [error] = _refused(machine, machine.call(machine.runner(context="none")))
    assert "there is no folder 'none'" in error


def test_no_engine_is_said_as_docker_says_it(machine: Machine, tmp_path: Path) -> None:
    environ = machine.runner(event="pull_request", ref="refs/pull/1/merge")
    environ["DOCKER_HOST"] = f"unix://{tmp_path}/no.sock"
    [error] = _refused(machine, machine.run(environ), 4)
    assert "Cannot connect to the Docker daemon" in error
    assert "sudo systemctl start docker" in error


def test_no_docker_at_all(machine: Machine) -> None:
    environ = machine.without_docker(machine.runner(event="pull_request", ref="refs/pull/1/merge"))
    [error] = _refused(machine, machine.call(environ), 4)
    assert "the program docker is not installed" in error


def test_a_docker_without_buildx(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "no-plugin"
    folder.mkdir()
    for name in ("docker", "git"):
        program = shutil.which(name, path=machine.variables["PATH"])
        assert program
        (folder / name).symlink_to(Path(program).resolve())
    environ = machine.runner(event="pull_request", ref="refs/pull/1/merge")
    environ |= {"PATH": str(folder), "DOCKER_CONFIG": str(folder)}
    ran = machine.call(environ)
    if ran.code == 0:
        pytest.skip("buildx is installed for all users of this machine")
    [error] = _refused(machine, ran, 4)
    assert "docker has no buildx" in error


def test_an_unknown_builder(machine: Machine) -> None:
    environ = machine.runner(event="pull_request", ref="refs/pull/1/merge", builder="nowhere")
    [error] = _refused(machine, machine.call(environ), 4)
    assert "there is no builder named 'nowhere'" in error


def _modify(machine: Machine, kind: str) -> str:
    project, page = machine.project, machine.project.folder / "page.html"
    if kind == "HEAD is another commit":
        older = project.head
        project.commit()
        project.git("checkout", "--quiet", older)
        return project.git("rev-parse", "main")
    if kind == "staged":
        (project.folder / "new").write_text("x")
        project.git("add", "new")
        return ""
    if kind.startswith("hidden"):
        project.git("update-index", f"--{kind.removeprefix('hidden by ')}", "page.html")
    if kind == "deleted":
        page.unlink()
    elif kind == "mode":
        page.chmod(0o755)
    else:
        page.write_text("something else\n")
    return ""


@pytest.mark.parametrize(
    "kind",
    [
        "HEAD is another commit",
        "modified",
        "staged",
        "deleted",
        "mode",
        "hidden by assume-unchanged",
        "hidden by skip-worktree",
    ],
)
def test_a_tree_that_is_not_the_commit_is_refused(machine: Machine, kind: str) -> None:
    sha = _modify(machine, kind)
    [error] = _refused(machine, machine.call(machine.runner(sha=sha)))
    if sha:
        assert f"this run is for {sha[:7]}" in error
    else:
        assert "tracked files differ from commit" in error
        assert "'page.html'" in error or "'new'" in error


def test_a_sparse_checkout_is_no_modification(machine: Machine) -> None:
    """What it leaves out is not there to be built from; what is there is the commit's."""
    machine.project.commit({"docs/guide.md": "for people"})
    machine.project.git("sparse-checkout", "set", "--no-cone", "/*", "!/docs/")
    assert not (machine.project.folder / "docs").exists()
    machine.call(machine.runner()).ended()


def test_untracked_files_are_the_builds_own_business(machine: Machine) -> None:
    (machine.project.folder / "cache.tmp").write_text("made by a step before")
    machine.call(machine.runner()).ended()


PAYLOADS: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"<html>",
    "a list": b"[]",
    "deep": b'{"a":' * 200_000,
    "deep lists": b"[" * 500_000,
    "no UTF-8": b'{"a": "\xff\xfe"',
    "a long number": b'{"a": ' + b"9" * 10_000 + b"}",
    "huge": b'{"a": "' + b"x" * 40_000_000 + b'"}',
}


def test_a_hostile_payload(machine: Machine) -> None:
    for case, payload in PAYLOADS.items():
        [error] = _refused(machine, machine.call(machine.runner(payload=payload)))
        assert "is not a JSON object" in error, case
        assert len(error) < 400, case


def test_a_payload_that_is_not_there(machine: Machine) -> None:
    environ = machine.runner() | {"GITHUB_EVENT_PATH": "/nonexistent"}
    _refused(machine, machine.call(environ))
    del environ["GITHUB_EVENT_PATH"]
    _refused(machine, machine.call(environ))
    _refused(machine, machine.call(environ | {"GITHUB_EVENT_PATH": str(machine.project.folder)}))


def test_no_git_repository(machine: Machine, tmp_path: Path) -> None:
    machine.workspace = tmp_path / "empty"
    machine.workspace.mkdir()
    (machine.workspace / "Dockerfile").write_text("FROM scratch\n")
    [error] = _refused(machine, machine.call(machine.runner()))
    assert "is not a git repository with a commit" in error
    assert "actions/checkout" in error


def test_a_repository_without_a_commit(machine: Machine, tmp_path: Path) -> None:
    machine.workspace = tmp_path / "unborn"
    machine.project.git("init", "--quiet", str(machine.workspace))
    (machine.workspace / "Dockerfile").write_text("FROM scratch\n")
    [error] = _refused(machine, machine.call(machine.runner()))
    assert "has no commit yet.\nCommit what is to be published" in error


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_checkout_of_another_user(machine: Machine) -> None:
    """By hand; a job trusts its workspace, whoever owns it."""
    environ = machine.laptop()
    for path in (machine.project.folder, machine.project.folder / ".git"):
        os.chown(path, 12345, 12345)
    ran = machine.run(environ, "publish")
    assert ran.code == 2
    assert "git does not trust" in ran.log
    assert "safe.directory" in ran.log


def test_all_at_once(machine: Machine) -> None:
    """Every problem in one run: fixing one after another is what people hate."""
    environ = machine.runner(
        username="FeastFlow",
        registry="https://docker.io",
        platforms="linux",
        build_args="no equals sign",
        milestone="latest",
        sha_length="6",
        dry_run="maybe",
        payload=b"no",
    )
    environ["FEASTFLOW_TOKEN"] = f"{machine.place.token}\nand more"
    errors = _refused(machine, machine.run(environ))
    wanted = ("registry", "platforms", "build-args", "milestone", "sha-length", "dry-run", "token")
    for name in wanted:
        assert sum(f'input "{name}"' in error for error in errors) == 1, (name, errors)
    assert any("event payload" in error for error in errors)
    assert "and more" not in "".join(errors)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"username": "feast flow"}, "holds a space"),
    ({"token": "two\nlines"}, "line break"),
    ({"token": "abcdef::b"}, '"::"'),
    ({"token": "nönönönö"}, "character that no token has"),
    ({"command": "publsh"}, 'Perhaps you meant "publish"'),
    ({"registry": "evil.example/path"}, "is not a host name"),
    ({"image": "feast__flow--"}, "is not valid"),
    ({"branches": "ma*n"}, "must be a name without pattern characters"),
    ({"extra_tags": "{nope}"}, "is not known"),
    ({"labels": "org.opencontainers.image.revision=x"}, "proves where an image comes from"),
]


def test_one_wrong_input(machine: Machine) -> None:
    for inputs, words in WRONG:
        errors = _refused(machine, machine.call(machine.runner(**inputs)))
        assert words in "".join(errors), inputs


def test_a_reserved_git_tag(machine: Machine) -> None:
    errors = _refused(machine, machine.call(machine.runner(ref="refs/tags/commit-1234567")))
    assert "is reserved" in errors[0]


def test_a_failing_build_is_exit_4_and_nothing_is_pushed(
    machine: Machine, place: LocalRegistry, builders: Callable[..., Any]
) -> None:
    machine.project.commit({"Dockerfile": "FROM scratch\nCOPY not-there /\n"})
    for name in ("classic", "remote"):
        builder = builders(name)
        machine.variables = builder.variables
        ran = machine.call(machine.runner(**builder.inputs)).ended(4)
        assert "not-there" in ran.errors[0]
        assert ran.slept == 0
        assert place.tags() == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_not_a_registrys_denial(machine: Machine) -> None:
    """BuildKit says "permission denied" of files too."""
    (machine.project.folder / "page.html").chmod(0)
    environ = machine.runner(event="pull_request", ref="refs/pull/1/merge")
    assert "permission denied" in machine.call(environ).ended(4).log


def test_what_a_denial_is() -> None:
    """The same for root, who is never denied a file: in the words of a real build."""
    said = "ERROR: failed to solve: error from sender: open /src/page.html: permission denied"
    assert not is_denied(said)
    assert is_denied("denied: requested access to the resource is denied")
    assert is_denied("unauthorized: authentication required")
