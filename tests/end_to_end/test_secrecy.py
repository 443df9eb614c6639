"""The token is nowhere: not in a log, a command line, a file or an image; not after a kill."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import token_search as leaks
from support.act import Runner, Running
from support.registries import USER, Auth, LocalRegistry
from support.repositories import Project
from support.servers.faults import Fault
from support.soak import chosen

# With what JSON and URLs escape, and what base64 and base64url write in two ways.
TOKEN = 'dckr_pat_>>>??"~\\4nE%/+=kZ&<9'
FORMS = leaks.forms(TOKEN, USER)

ENGINE_UPLOADS = {"method": "PATCH|PUT|POST", "path": "blobs/uploads", "nth": 2}
LATEST_MOVES = {"method": "PUT", "path": "manifests/latest"}


@pytest.fixture
def place(places: Callable[..., LocalRegistry], request: pytest.FixtureRequest) -> LocalRegistry:
    """A registry whose token has characters that are written in more than one way."""
    auth: Auth = getattr(request, "param", "htpasswd")
    return places(auth, token=TOKEN)


@pytest.fixture
def shims(tmp_path: Path) -> leaks.Shims:
    """What notes how programs are called."""
    return leaks.Shims(tmp_path / "shims")


@contextmanager
def _held(runner: Runner, project: Project, moment: dict[str, object]) -> Iterator[Running]:
    fault = runner.place.proxy.add(Fault("hold", **moment))  # type: ignore[arg-type]
    job = runner.start(project.folder)
    try:
        assert fault.arrived.wait(300), "the run never made that request"
        yield job
    finally:
        fault.release()
        job.end()


def _places(runner: Runner, project: Project, tool_cache: Path, docker_config: Path) -> list[Path]:
    """HOME with the workspace, RUNNER_TEMP and TMPDIR in it; and all that outlives a job."""
    storage = runner.place.registry.storage
    return [runner.folder, project.folder, tool_cache, docker_config, storage]


@pytest.mark.parametrize(
    ("place", "store"),
    chosen([("token", "classic"), ("htpasswd", "containerd")]),
    indirect=["place"],
)
def test_no_process_and_no_file_holds_it(
    place: LocalRegistry,
    project: Project,
    runners: Callable[..., Runner],
    shims: leaks.Shims,
    tool_cache: Path,
    docker_config: Path,
    store: str,
) -> None:
    runner = runners(store)
    plugins = docker_config / "cli-plugins"
    variables = shims.put(("git", "docker"), runner.path, plugins)
    with leaks.Watch() as watch:
        runner.run(project.folder, variables=variables).ended()
    assert any(b"bootstrap.py\0run" in line for line in watch.argv), "it looked at the program"
    assert leaks.in_text(b"\n".join(watch.argv), FORMS) == []

    called = {name: leaks.in_text(data, FORMS) for name, data in shims.argv.items()}
    assert len(called) >= 8, "git and docker were called through the shims"
    assert set(map(tuple, called.values())) == {()}
    told = {name for name, data in shims.environ.items() if leaks.in_text(data, FORMS)}
    session = re.compile(r"-docker-buildx-bake-")
    assert any(session.search(each) for each in shims.environ)
    assert [each for each in told if not session.search(each)] == [], "only the build is told"

    found = _places(runner, project, tool_cache, docker_config)
    assert leaks.in_files([*found, shims.folder / "docker-config"], FORMS) == []

    for what in ("manifest", "config"):
        assert leaks.in_text(place.crane(what, place.at("latest")).encode(), FORMS) == []
    exported = subprocess.run(
        ["crane", "export", place.at("latest"), "-"],
        env={"PATH": place.path, "DOCKER_CONFIG": str(place.home)},
        capture_output=True,
        check=True,
    ).stdout
    assert b"page.html" in exported
    assert leaks.in_text(exported, FORMS) == []


@pytest.mark.parametrize(
    "moment", chosen([ENGINE_UPLOADS, LATEST_MOVES]), ids=["the push", "latest"]
)
def test_no_file_holds_it_in_the_middle_of_a_run_nor_after_a_kill(
    place: LocalRegistry,
    project: Project,
    runner: Runner,
    tool_cache: Path,
    docker_config: Path,
    moment: dict[str, object],
) -> None:
    project.commit({"new": "a layer that the engine does not know"})
    found = _places(runner, project, tool_cache, docker_config)
    with _held(runner, project, moment) as job:
        program = job.program()
        environ = Path(f"/proc/{program}/environ").read_bytes()
        assert b"GITHUB_SHA=" in environ
        assert leaks.in_text(environ, FORMS) == [], "whoever shares the machine could read it"
        assert leaks.in_files(found, FORMS) == []
        job.kill_program()
    assert leaks.in_files(found, FORMS) == []
    assert (runner.homes[0] / ".cache/act").is_dir()


@pytest.mark.parametrize(
    ("wrong", "options"),
    chosen([(False, "--insecure-secrets"), (True, "--insecure-secrets"), (True, "--verbose")]),
    ids=["published", "refused", "verbose"],
)
def test_no_log_holds_it(
    place: LocalRegistry, project: Project, runner: Runner, options: str, wrong: bool
) -> None:
    """Without its mask act shows every line as it was printed, but for `::add-mask::`."""
    runner.token = TOKEN[::-1] if wrong else TOKEN
    job = runner.run(project.folder, options=(options,))
    assert ("Job failed" if wrong else "Job succeeded") in job.text
    assert leaks.in_text(job.text.encode(), leaks.forms(runner.token, USER)) == []


def test_every_form_is_masked_before_anything_else_is_said(
    place: LocalRegistry, project: Project, runner: Runner
) -> None:
    """GitHub's runner masks what it was told and no more."""
    job = runner.run(project.folder).ended()
    masked = [each.encode() for each in job.commands("add-mask")]
    for what in ("raw", "base64 at 0", "base64url at 0"):
        assert any(FORMS[what] in each for each in masked), what
    pairs = [each for each in masked if FORMS["base64 at 1"] in each]
    assert pairs, "the Basic pair: the token comes after feastflow and a colon"
    said = [each.get("command") for each in job.events if each.get("stepID", [])[-1:] == ["run"]]
    first = next(at for at, name in enumerate(said) if name is None and at)
    assert "add-mask" not in said[first:]


@pytest.mark.parametrize("prefix", ["", "x", "xy", "feastflow:", '{"password": "'])
@pytest.mark.parametrize("suffix", ["", "z", "zz", '"}'])
def test_the_search_finds_what_it_should(prefix: str, suffix: str) -> None:
    whole = f"{prefix}{TOKEN}{suffix}".encode()
    assert any(leaks.in_text(base64.b64encode(whole), FORMS))
    assert any(leaks.in_text(base64.urlsafe_b64encode(whole), FORMS))
    assert leaks.in_text(base64.b64encode(b"dckr_pat_" + whole[::-1]), FORMS) == []
