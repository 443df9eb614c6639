"""Disks that are full, and folders that are missing: what was published is said all the same."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import pytest
from support.machine import PROGRAM, Machine
from support.published_pair import PublishedPair
from support.registries import LocalRegistry
from support.soak import chosen, one_in

from integration.conftest import Builder

FULL = "/dev/full"
ROOM = "Check that the disk has room, and that the folder exists and can be written."


@pytest.fixture
def published(pair: PublishedPair, machine: Machine, place: LocalRegistry) -> Machine:
    """A machine whose commit is published, all but `latest`."""
    pair.lay_out(place)
    return machine


def lacking(variable: str, value: str) -> dict[str, str]:
    return {"FEASTFLOW_MILESTONE": "sprint3", variable: value}


@pytest.mark.parametrize("where", chosen([FULL, "{folder}/no/such/output", "{folder}"]))
def test_no_outputs_is_red_and_says_what_was_done(
    published: Machine, tmp_path: Path, where: str
) -> None:
    path = where.format(folder=tmp_path)
    environ = published.runner() | lacking("GITHUB_OUTPUT", path)
    ran = published.call(environ)
    assert ran.code == 4
    assert "✅ app: " in ran.log
    [error] = ran.errors
    assert error.startswith("the step has no outputs: ")
    assert error.endswith(ROOM)
    tags = published.place.tags()
    assert tags["latest"] == tags["sprint3"] == tags[f"commit-{published.project.head[:7]}"]


@pytest.mark.parametrize("where", [FULL, "{folder}/no/such/summary"])
def test_no_summary_is_a_warning(published: Machine, tmp_path: Path, where: str) -> None:
    environ = published.runner() | lacking("GITHUB_STEP_SUMMARY", where.format(folder=tmp_path))
    ran = published.call(environ).ended()
    assert "::warning::There is no job summary: " in ran.log
    assert ran.outputs["pushed"] == "true"


def test_a_failure_stays_the_failure_that_it_is(published: Machine) -> None:
    environ = published.runner(token="x" * 20) | lacking("GITHUB_OUTPUT", FULL)
    ran = published.call(environ)
    assert ran.code == 3
    assert len(ran.errors) == 2


def test_half_an_output_is_taken_back(published: Machine) -> None:
    """The runner refuses a file whose last value has no end, with all that others wrote."""
    environ = published.runner()
    output = Path(environ["GITHUB_OUTPUT"])
    output.write_text("other=" + "x" * 3000 + "\n")
    before = output.read_text()
    # -B: or what Python keeps of its modules would be cut off, too.
    limited = ["prlimit", "--fsize=3500", "--", PROGRAM[0], "-B", *PROGRAM[1:]]
    done = subprocess.run(
        limited, env=environ, cwd=published.project.folder, capture_output=True, check=False
    )
    assert done.returncode == 4, done.stdout
    assert output.read_text() == before


def test_what_a_build_remembers_cannot_be_kept(machine: Machine) -> None:
    folder = machine.project.folder / ".git"
    (folder / "feastflow-registry.json").mkdir()
    ran = machine.call(machine.runner(command="build"))
    assert ran.code == 4
    [error] = ran.errors
    assert str(folder / "feastflow-registry.") in error
    assert error.endswith(ROOM)
    assert [each.name for each in folder.glob("feastflow-registry*")] == ["feastflow-registry.json"]


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path | None], Path]]:
    """Give a folder that root cannot change either, with what another one holds."""
    folder = tmp_path / "read-only"
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(folder)]

    def give(like: Path | None = None) -> Path:
        folder.mkdir()
        if subprocess.run(mount, check=False).returncode:
            pytest.skip("no right to mount")
        if like:
            shutil.copytree(like, folder, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        return folder

    yield give
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kept", chosen(["{folder}/buildx", "{folder}", "/dev/null/buildx"]))
def test_a_home_that_cannot_be_written_is_no_reason_not_to_build(
    machine: Machine, read_only: Callable[[], Path], kept: str
) -> None:
    own = kept.format(folder=read_only())
    ran = machine.call(machine.runner() | {"BUILDX_CONFIG": own}).ended()
    assert "pushed" in ran.log
    assert (machine.project.folder / ".git/feastflow-buildx").is_dir()


def test_builders_that_are_there_stay_known(
    machines: Callable[[LocalRegistry, Builder], Machine],
    place: LocalRegistry,
    remote: Builder,
    read_only: Callable[[Path], Path],
) -> None:
    """Whoever prepares a builder may leave its records where this run cannot write."""
    machine = machines(place, remote)
    own = read_only(Path(remote.variables["DOCKER_CONFIG"]) / "buildx")
    environ = machine.runner(**remote.inputs) | {"BUILDX_CONFIG": str(own)}
    machine.call(environ).ended()
    assert "latest" in place.tags()


@pytest.mark.parametrize("options", chosen([[], ["--json"]]))
def test_what_cannot_be_read_along_is_said_where_it_can(
    published: Machine, options: list[str]
) -> None:
    environ = published.laptop() | {"FEASTFLOW_REGISTRY": published.place.host}
    with Path(FULL).open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "tags", *options, "--image", "feastflow/app"],
            env=environ,
            cwd=published.project.folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert f"No space left on device. {ROOM}" in " ".join(done.stderr.split())


@pytest.mark.parametrize("limit", one_in(3, range(7, 13)))
def test_too_few_open_files_are_said_in_one_sentence(published: Machine, limit: int) -> None:
    """Whatever it is that finds no room: git, a connection, or the engine's."""
    limited = ["prlimit", f"--nofile={limit}", "--", *PROGRAM]
    done = subprocess.run(
        limited,
        env=published.runner(milestone="sprint3"),
        cwd=published.project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout
    if done.returncode:
        assert done.returncode == 4, done.stdout
        assert (
            "::error::this program has as many files and connections open as it may" in done.stdout
        )
    else:
        assert limit > 10, "it does with less than it needs"


def test_no_more_threads_are_said_in_one_sentence(
    published: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Timer, "start", start)
    ran = published.call(published.runner()).ended(4)
    [error] = ran.errors
    assert error.startswith("this user may start no more processes and threads.")


def _by_a_shell(machine: Machine, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    program = shlex.join([*PROGRAM, "tags", "--image", "feastflow/app"])
    return subprocess.run(
        ["/bin/sh", "-c", line.replace("PROGRAM", program)],
        env=machine.laptop(FEASTFLOW_REGISTRY=machine.place.host) | more,
        cwd=machine.project.folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("line", chosen(["PROGRAM >&-", "PROGRAM 2>&-", "PROGRAM --json 2>&-"]))
def test_a_stream_that_is_closed_is_not_written_to(published: Machine, line: str) -> None:
    done = _by_a_shell(published, line)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_terminal_of_ascii_is_written_to(published: Machine) -> None:
    done = _by_a_shell(published, "PROGRAM", LANG="C", LC_ALL="POSIX", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done.stderr


def test_a_folder_that_is_gone_is_said_in_one_sentence(published: Machine) -> None:
    done = _by_a_shell(published, "mkdir gone && cd gone && rmdir ../gone && PROGRAM")
    assert done.returncode == 2
    assert (
        done.stderr == "✗  the current folder is gone.\n   Change to another one, then run again.\n"
    )
