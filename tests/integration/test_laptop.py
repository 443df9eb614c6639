"""By hand: build, then push; what docker login keeps; doctor."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.machine import PROGRAM, Machine, Ran
from support.registries import REPOSITORY, USER, LocalRegistry
from support.repositories import MARK
from support.soak import chosen

from integration.conftest import Builder


def _by_hand(machine: Machine, *arguments: str, **variables: Any) -> Ran:
    """Run in the working copy, on the registry of the test."""
    environ = machine.laptop(**variables)
    command, *rest = arguments
    options = ["--registry", machine.place.host, "--image", REPOSITORY.rpartition("/")[2]]
    return machine.run(environ, command, *rest, *options)


def _ended(ran: Ran, code: int = 0) -> Ran:
    assert ran.code == code, ran.log
    assert "Traceback" not in ran.log
    assert "::" not in ran.log.replace("://", ""), "no workflow command at a terminal"
    return ran


@pytest.mark.parametrize("name", chosen(["classic", "containerd"]))
def test_build_then_push_pushes_what_was_built(
    machine: Machine, place: LocalRegistry, builders: Callable[[str], Builder], name: str
) -> None:
    machine.variables = builders(name).variables
    sha = machine.project.head
    ran = _ended(_by_hand(machine, "build"))
    assert place.proxy.requests == ()
    assert "built" in ran.log
    tag = f"{place.repository}:commit-{sha[:7]}"

    # Another image takes the local name in between: it is the ID that counts.
    other = machine.project.folder / "Other"
    other.write_text(f"FROM scratch\nLABEL {MARK} impostor=yes\nCOPY page.html /\n")
    subprocess.run(
        ["docker", "buildx", "build", "--load", "-q", "-f", str(other), "-t", tag, "."],
        cwd=machine.project.folder,
        env={**machine.variables, "HOME": str(machine.home)},
        check=True,
        capture_output=True,
    )
    other.unlink()
    ran = _ended(_by_hand(machine, "push"))
    assert f"✅ app: {place.repository}@{place.digest('latest')}" in ran.log
    assert "impostor" not in place.labels("latest")
    assert place.labels("latest")["org.opencontainers.image.revision"] == sha
    assert set(place.tags()) == {f"commit-{sha[:7]}", "latest"}

    before = place.proxy.uploaded("blobs")
    _ended(_by_hand(machine, "push"))
    assert place.proxy.uploaded("blobs") == before


def test_build_gives_an_image_the_names_that_the_old_script_gave(
    machine: Machine, place: LocalRegistry
) -> None:
    """`build-and-tag.sh` called it commit-…, latest and sprint3, of whatever commit."""
    machine.project.commit(push=False)
    sha = machine.project.head
    ran = _ended(_by_hand(machine, "build", "--milestone", "sprint3"))
    names = [f"{place.repository}:{tag}" for tag in (f"commit-{sha[:7]}", "sprint3", "latest")]
    assert f"app is in the engine as {', '.join(names)}." in ran.log
    ids = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Id}}", *names],
        env={**machine.variables, "HOME": str(machine.home)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert place.proxy.requests == ()


def test_a_push_without_a_build_says_what_to_do(machine: Machine, place: LocalRegistry) -> None:
    ran = _ended(_by_hand(machine, "push"), 2)
    assert "no build of app at commit" in ran.log
    assert "feastflow-registry build" in ran.log
    assert place.tags() == {}


def test_a_dirty_build_is_not_pushed(machine: Machine, place: LocalRegistry) -> None:
    page = machine.project.folder / "page.html"
    clean = page.read_text()
    page.write_text("not committed\n")
    ran = _ended(_by_hand(machine, "build"))
    assert "push will not take this build" in ran.log
    ran = _ended(_by_hand(machine, "push"), 2)
    assert "tracked files differ" in ran.log
    page.write_text(clean)
    ran = _ended(_by_hand(machine, "push"), 2)
    assert "no build of app" in ran.log, "the dirty build is not remembered"
    assert place.tags() == {}


def test_a_commit_that_is_not_on_the_remotes_main_moves_no_shared_tag(
    machine: Machine, place: LocalRegistry
) -> None:
    """The doctor warns of it, the publish says it."""
    machine.project.commit(push=False)
    sha = machine.project.head[:7]
    why = f"sprint3, latest stay where they are: {sha} is not on the remote's main."
    ran = _ended(_by_hand(machine, "doctor", "--milestone", "sprint3"))
    assert f"! this run: {why}\n    Push it, then run again." in ran.log
    ran = _ended(_by_hand(machine, "publish", "--milestone", "sprint3"))
    assert set(place.tags()) == {f"commit-{sha}"}
    assert f"{why} Push it, then run again." in ran.log
    machine.project.git("push", "--quiet", "origin", "main")
    ran = _ended(_by_hand(machine, "publish", "--milestone", "sprint3"))
    assert set(place.tags()) == {f"commit-{sha}", "sprint3", "latest"}
    assert "stay where they are" not in ran.log


def test_docker_login_is_enough(machine: Machine, place: LocalRegistry, tmp_path: Path) -> None:
    pair = base64.b64encode(f"{USER}:{place.token}".encode()).decode()
    config = tmp_path / "docker"
    config.mkdir()
    plugins = Path(machine.variables["DOCKER_CONFIG"], "cli-plugins")
    if plugins.exists():
        (config / "cli-plugins").symlink_to(plugins)
    (config / "config.json").write_text(json.dumps({"auths": {place.host: {"auth": pair}}}))
    ran = _ended(_by_hand(machine, "publish", credentials=False, DOCKER_CONFIG=str(config)))
    assert place.digest("latest") in ran.log
    assert place.token not in ran.log


def test_without_credentials_it_says_where_they_come_from(
    machine: Machine, place: LocalRegistry
) -> None:
    ran = _ended(_by_hand(machine, "publish", credentials=False), 2)
    assert f"DOCKERHUB_TOKEN, or run `docker login {place.host}`" in ran.log
    assert place.proxy.requests == ()


def test_the_username_may_be_an_argument(machine: Machine, place: LocalRegistry) -> None:
    """As in ./build-and-tag.sh [username] and ./push.sh [username]."""
    _ended(_by_hand(machine, "build", "feastflow", DOCKERHUB_USERNAME=""))
    _ended(_by_hand(machine, "push", "feastflow", DOCKERHUB_USERNAME=""))
    assert place.digest("latest")


def test_a_plan_as_json_is_all_that_is_on_stdout(machine: Machine, place: LocalRegistry) -> None:
    environ = machine.laptop()
    done = subprocess.run(
        [*PROGRAM, "publish", "--dry-run", "--json", "--registry", place.host, "--image", "app"],
        cwd=machine.project.folder,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    plan = json.loads(done.stdout)
    assert plan["push"] is True
    assert [each["step"] for each in plan["steps"]] == ["build", "push", "tag"]
    assert "pushes" in done.stderr
    assert place.tags() == {}


@pytest.mark.parametrize("place", ["htpasswd", "token"], indirect=True)
def test_doctor_finds_nothing_wrong(machine: Machine, place: LocalRegistry) -> None:
    ran = _ended(_by_hand(machine, "doctor"))
    for line in ("engine: Docker", "builder:", "names:", "git: commit", "credentials: accepted"):
        assert f"✓ {line}" in ran.log, ran.log
    assert f"✓ push to {place.repository}: granted" in ran.log
    assert place.tags() == {}
    assert place.proxy.uploaded() == 0


def test_doctor_finds_all_that_is_wrong(machine: Machine, tmp_path: Path) -> None:
    (machine.project.folder / "page.html").write_text("modified")
    nowhere = f"unix://{tmp_path}/no.sock"
    ran = _ended(
        _by_hand(machine, "doctor", DOCKERHUB_TOKEN="dckr_pat_wrong", DOCKER_HOST=nowhere), 4
    )
    for line in ("✗ engine", "✗ git", "✗ credentials"):
        assert line in ran.log, ran.log
    assert "Cannot connect to the Docker daemon" in ran.log
    assert "tracked files differ" in ran.log
    assert "does not accept the user name and token" in ran.log
    assert "dckr_pat_wrong" not in ran.log


def test_where_origin_is_gone_a_rollback_goes_on_and_nothing_is_published(
    machine: Machine, place: LocalRegistry
) -> None:
    """What was last fetched counts for the one; for the other, somebody may have pushed since."""
    first = machine.project.head
    _ended(_by_hand(machine, "publish"))
    bad = machine.project.commit()
    _ended(_by_hand(machine, "publish"))
    machine.project.origin.rename(machine.project.origin.with_name("gone"))
    ran = _ended(_by_hand(machine, "rollback", "--from", bad, "--tag", "latest"))
    assert "origin does not answer: what was last fetched of it counts" in ran.log
    assert place.tags()["latest"] == place.tags()[f"commit-{first[:7]}"]

    machine.project.commit(push=False)
    machine.project.git("update-ref", "refs/remotes/origin/main", "HEAD")
    before = place.tags()
    for command in ("publish", "doctor"):
        ran = _ended(_by_hand(machine, command), 5)
        assert "origin could not be asked" in ran.log
    assert place.tags() == before


def test_what_is_in_no_commit_is_told_where_it_may_get_into_an_image(
    machine: Machine, place: LocalRegistry
) -> None:
    machine.project.commit({".gitignore": "ignored.txt\n"})
    for name in ("notes.txt", "ignored.txt"):
        (machine.project.folder / name).write_text("mine")
    said = "files that are in no commit may get into the images: notes.txt."
    for command in ("doctor", "publish"):
        ran = _ended(_by_hand(machine, command))
        assert said in ran.log
    assert "ignored.txt" not in ran.log
    ran = machine.publish().ended()
    assert said not in ran.shown
