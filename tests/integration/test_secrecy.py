"""The token is found nowhere: whatever ran, whatever was written, whatever was killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import token_search
from support.machine import PROGRAM as COMMAND
from support.machine import Machine, Ran, Running
from support.registries import USER, LocalRegistry
from support.repositories import MARK
from support.servers.faults import Fault
from support.soak import chosen
from support.token_search import Watch, in_texts

from integration.conftest import Builder

# The build session: buildx itself, or the docker program with its question to its own plugin.
PROGRAM = re.compile(r"(\S*/)?(docker buildx|docker-buildx( buildx)?) (bake|docker-cli-plugin)")

# Everything that a build can look at, into its log and into the image.
HOSTILE = f"""FROM scratch
LABEL {MARK}
ARG GIVEN
ARG DOCKER_AUTH_CONFIG
ARG FEASTFLOW_TOKEN
LABEL given=$GIVEN auth=$DOCKER_AUTH_CONFIG token=$FEASTFLOW_TOKEN
COPY busybox page.html /
RUN ["/busybox", "sh", "-c", "/busybox env; /busybox cat /proc/*/environ /proc/*/cmdline; \
/busybox env > /found; /busybox cat /proc/*/environ >> /found; /busybox ls -l /run/secrets; true"]
"""
SLOW = f"""FROM scratch
LABEL {MARK}
COPY busybox page.html /
RUN ["/busybox", "sleep", "4"]
"""


def _everywhere(machine: Machine, ran: Ran) -> dict[str, bytes]:
    """Each place where a run leaves something."""
    config = Path(machine.variables["DOCKER_CONFIG"])
    return {
        "log": ran.shown.encode(),
        "summary": ran.summary.encode(),
        **{f"output {name}": value.encode() for name, value in ran.outputs.items()},
        **token_search.files(
            machine.folder, machine.project.folder, machine.project.origin, config
        ),
    }


def _forms(place: LocalRegistry) -> Mapping[str, bytes]:
    return token_search.forms(place.token, USER)


def _found(place: LocalRegistry, texts: Mapping[str, bytes]) -> list[str]:
    """Where the token is, and in which form."""
    return in_texts(texts, _forms(place))


def _spy(machine: Machine, folder: Path, program: str) -> Path:
    """Put a program on PATH that writes its environment down and goes on as itself."""
    real = shutil.which(program, path=machine.variables["PATH"])
    folder.mkdir()
    found, script = folder / "found", folder / program
    script.write_text(f'#!/bin/sh\nenv >> "{found}"\nexec "{real}" "$@"\n')
    script.chmod(0o755)
    path = f"{folder}{os.pathsep}{machine.variables['PATH']}"
    machine.variables = {**machine.variables, "PATH": path}
    return found


def _watched(machine: Machine, watch: Watch, **inputs: Any) -> Ran:
    """Publish while every process is looked at, from the first request of the run on."""
    first = Fault("hold", path="manifests/")
    machine.place.proxy.add(first)
    # The engine's last word takes its time, so that nothing is over before it was seen.
    machine.place.proxy.add(Fault("slow", method="PUT", path="manifests/", delay_ms=150))
    running = machine.start(machine.runner(**inputs))
    assert first.arrived.wait(300)
    with watch:
        first.release()
        return running.end()


def test_a_publish_leaves_the_token_nowhere(
    machine: Machine, place: LocalRegistry, builder: Builder, busybox: Path, tmp_path: Path
) -> None:
    machine.variables = builder.variables
    seen_by_git = _spy(machine, tmp_path / "spy", "git")
    shutil.copy2(busybox, machine.project.folder / "busybox")
    machine.project.commit({"Dockerfile": HOSTILE})
    watch = Watch()
    literal = "GIVEN=${DOCKER_AUTH_CONFIG} %{if true}x%{endif} ${FEASTFLOW_TOKEN}"
    ran = _watched(machine, watch, build_args=literal, **builder.inputs).ended()

    argv = b"\n".join(watch.argv)
    assert b"feastflow_registry" in argv
    assert b"buildx" in argv
    assert _found(place, {"argv": argv}) == []
    holders = watch.holders(_forms(place))
    assert _found(place, {"git": seen_by_git.read_bytes()}) == []
    strangers = [each for each in holders if not PROGRAM.match(each)]
    assert not strangers, strangers
    assert set().union(*holders.values()) <= {"DOCKER_AUTH_CONFIG"}
    assert _found(place, _everywhere(machine, ran)) == []

    image = place.at("latest")
    exported = subprocess.run(
        ["crane", "export", image, "-"],
        env={"PATH": place.path, "DOCKER_CONFIG": str(place.home), "HOME": str(place.home)},
        capture_output=True,
        check=True,
    ).stdout
    assert b"PATH=" in exported, "the build did look at its environment"
    texts = {"layers": exported, "config": place.crane("config", image).encode()}
    assert _found(place, texts) == []
    labels = place.labels("latest")
    assert labels["given"] == literal.removeprefix("GIVEN=")
    assert not labels.get("auth")
    assert not labels.get("token")


@pytest.mark.parametrize("name", ["classic", "containerd"])
def test_an_image_in_the_engine_holds_no_token(
    machine: Machine, place: LocalRegistry, builders: Callable[[str], Builder], name: str
) -> None:
    machine.variables = builders(name).variables
    ran = machine.call(machine.runner()).ended()
    tag = ran.outputs["tags"].split()[0]
    for command in (["save", tag], ["history", "--no-trunc", tag], ["inspect", tag]):
        done = subprocess.run(
            ["docker", *command], env=dict(machine.variables), capture_output=True, check=True
        )
        assert _found(place, {" ".join(command): done.stdout}) == []


def test_the_search_itself_finds_every_form(place: LocalRegistry) -> None:
    known = _forms(place)
    assert len(known) == 22
    for name, form in known.items():
        assert name in str(_found(place, {"a file": b"before" + form + b"after"}))


def test_our_own_process_does_not_show_the_token(machine: Machine, place: LocalRegistry) -> None:
    hold = place.proxy.add(Fault("hold", path="manifests/"))
    running = machine.start(machine.runner())
    assert hold.arrived.wait(300)
    shown = Path(f"/proc/{running.process.pid}/environ").read_bytes()
    assert b"FEASTFLOW_REGISTRY=" in shown, "the rest of the environment is there"
    assert _found(place, {"environ": shown}) == []
    assert b"ghs_only_for_tests" not in shown
    hold.release()
    running.end().ended()


def test_killed_in_mid_push_it_leaves_the_token_nowhere(
    machine: Machine, place: LocalRegistry, builder: Builder
) -> None:
    machine.variables = builder.variables
    hold = place.proxy.add(
        Fault("hold", method="PUT", match=lambda seen: "feastflow" not in seen.agent)
    )
    running = machine.start(machine.runner(**builder.inputs))
    assert hold.arrived.wait(300)
    ran = running.kill()
    assert ran.code == -9
    hold.release()
    _wait_for_children(machine)
    assert _found(place, _everywhere(machine, ran)) == []
    assert "latest" not in place.tags()
    place.proxy.clear()
    machine.call(machine.runner(**builder.inputs)).ended()  # It finishes the job.
    assert len(set(place.tags().values())) == 1


@pytest.mark.parametrize("name", ["classic", "remote"])
def test_killed_in_mid_build_it_leaves_the_token_nowhere(
    machine: Machine,
    place: LocalRegistry,
    builders: Callable[[str], Builder],
    busybox: Path,
    name: str,
) -> None:
    builder = builders(name)
    machine.variables = builder.variables
    shutil.copy2(busybox, machine.project.folder / "busybox")
    machine.project.commit({"Dockerfile": SLOW.replace('"4"', f'"{1 + time.time() % 1}"')})
    running = machine.start(machine.runner(**builder.inputs))
    said = _wait_for_build(running)
    ran = running.kill()
    assert ran.code == -9
    _wait_for_children(machine)
    everywhere = {**_everywhere(machine, ran), "log before": said.encode()}
    assert _found(place, everywhere) == []
    assert place.tags() == {}


def _wait_for_build(running: Running) -> str:
    """Wait until the build sleeps; what the log shows until then."""
    lines = []
    assert running.process.stdout
    for line in running.process.stdout:
        lines += [line] if not line.startswith("::add-mask::") else []
        if "RUN" in line and "sleep" in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def _wait_for_children(machine: Machine) -> None:
    """Wait until no buildx of this machine runs, killed parents or not."""
    mark = str(machine.folder).encode()
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        alive = [
            path
            for path in Path("/proc").glob("[0-9]*/environ")
            if mark in token_search.read(path) and b"buildx" in _argv(path)
        ]
        if not alive:
            return
        time.sleep(0.05)
    raise AssertionError("buildx outlived the run by five minutes")


def _argv(environ: Path) -> bytes:
    return token_search.read(environ.parent / "cmdline")


@pytest.mark.parametrize("name", ["build_args", "labels", "context"])
def test_a_token_in_another_input_is_refused(
    machine: Machine, place: LocalRegistry, name: str
) -> None:
    value: Any = {"build_args": "KEY={}", "labels": "key={}"}.get(name, "{}").format(place.token)
    ran = machine.run(machine.runner(**{name: value})).ended(2)
    assert f'input "{name.replace("_", "-")}"' in "".join(ran.errors)
    assert _found(place, {"log": ran.shown.encode()}) == []
    assert place.proxy.requests == ()


def test_a_cancelled_run_ends_its_build_too(
    machine: Machine, place: LocalRegistry, remote: Builder, busybox: Path
) -> None:
    """GitHub cancels with SIGINT, and SIGTERM after a moment."""
    machine.variables = remote.variables
    shutil.copy2(busybox, machine.project.folder / "busybox")
    machine.project.commit({"Dockerfile": SLOW.replace('"4"', f'"{987 + time.time() % 1}"')})
    running = machine.start(machine.runner(**remote.inputs))
    _wait_for_build(running)
    running.process.terminate()
    ran = running.end()
    assert ran.code == 143
    assert "Traceback" not in ran.log
    _wait_for_children(machine)
    assert place.tags() == {}


@pytest.mark.parametrize("place", chosen(["token", "htpasswd"]), indirect=True)
def test_a_server_that_echoes_what_it_was_sent(machine: Machine, place: LocalRegistry) -> None:
    """In the text of a refusal, in every form."""
    for name, form in _forms(place).items():
        echo = f"refused: you sent {form.decode()}{'.' * (len(name) * 5)}"
        body = json.dumps({"errors": [{"code": "DENIED", "message": echo}]}).encode()
        place.proxy.add(Fault("status", method="POST", status=403, body=body, times=None))
        ran = machine.call(machine.runner()).ended(3)
        place.proxy.clear()
        left = {"log": ran.shown.encode(), "summary": ran.summary.encode()}
        left |= {name: value.encode() for name, value in ran.outputs.items()}
        assert _found(place, left) == [], name
        assert "you sent ***" in ran.errors[0], "nothing was echoed"


def _echo(place: LocalRegistry) -> None:
    """Have a registry answer everything with the token."""
    message = f"you sent {place.token}"
    body = json.dumps({"errors": [{"code": "DENIED", "message": message}]}).encode()
    place.proxy.add(Fault("status", status=403, body=body, times=None))


def test_an_echo_is_hidden_from_a_person_too(machine: Machine, place: LocalRegistry) -> None:
    _echo(place)
    ran = machine.run(machine.laptop(FEASTFLOW_REGISTRY=place.host), "tags")
    assert ran.code == 3
    assert "you sent ***" in ran.log
    assert _found(place, {"log": ran.log.encode()}) == []


def test_nor_is_it_shown_where_nothing_can_be_written(
    machine: Machine, place: LocalRegistry
) -> None:
    _echo(place)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "tags"],
            env=machine.laptop(FEASTFLOW_REGISTRY=place.host),
            cwd=machine.project.folder,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert b"you sent ***" in done.stderr
    assert _found(place, {"stderr": done.stderr}) == []


def test_nor_by_an_interrupt_while_it_is_told(machine: Machine, place: LocalRegistry) -> None:
    """The summary is waited for, as on a disk that is slow."""
    _echo(place)
    environ = machine.runner(command="tags")
    os.mkfifo(environ["GITHUB_STEP_SUMMARY"])
    installed = Path(sys.executable).with_name("feastflow-registry")
    process = subprocess.Popen(
        [installed],
        env=environ,
        cwd=machine.project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout
    assert next(line for line in process.stdout if b"::error::" in line)
    process.terminate()
    disk = os.open(environ["GITHUB_STEP_SUMMARY"], os.O_RDONLY | os.O_NONBLOCK)
    log, _ = process.communicate(timeout=300)
    os.close(disk)
    assert b"Traceback" not in log
    assert b"The run was cancelled." in log
    assert process.returncode == 143
    assert _found(place, {"log": log}) == []


@pytest.mark.parametrize("event", ["pull_request_target", "issue_comment", "workflow_run"])
@pytest.mark.parametrize("command", ["tags", "doctor", "prune", "promote", "rollback"])
def test_a_file_of_the_checkout_does_not_choose_who_gets_the_token(
    machine: Machine, place: LocalRegistry, event: str, command: str
) -> None:
    """The registry is somebody else's: its challenge is answered by no credential."""
    machine.project.commit({"feastflow.yml": f"registry: {place.host}\nservices: {{app: }}\n"})
    inputs: dict[str, Any] = {
        "registry": "",
        "command": command,
        "dry_run": "true",
        "tag": "x",
        "to": "latest",
    }
    ran = machine.call(machine.runner(event=event, **inputs))
    assert ran.code in (0, 2, 3), ran.shown
    assert {each.auth for each in place.requests()} <= {""}
    assert place.requests() or command == "doctor", "it was asked"
    assert (
        f"names the registry {place.host}, and the inputs of the workflow do not let this run push"
        in ran.log
    )
    machine.call(machine.runner(event=event, **inputs | {"registry": place.host}))
    assert "Basic" in {each.auth for each in place.requests()}


def test_a_build_beside_secrets_reads_no_variable_and_runs_no_check(
    machine: Machine, busybox: Path, tmp_path: Path
) -> None:
    """Whatever the pull request's own files name; the workflow offers what it needs on main."""
    shutil.copy2(busybox, machine.project.folder / "busybox")
    show = json.dumps(["/busybox", "sh", "-c", "/busybox cat /run/secrets/* || echo no secret"])
    lines = ["FROM scratch", f"LABEL {MARK}", "COPY busybox /", "COPY page.html /"]
    lines += [f"RUN --mount=type=secret,id=a --mount=type=secret,id=b {show}", ""]
    names = '["id=a,env=ACTIONS_ID_TOKEN_REQUEST_TOKEN", "id=b,env=NPM_TOKEN"]'
    service = f"{{secrets: {names}, check: 'touch {tmp_path}/ran'}}"
    files = {"feastflow.yml": f"services: {{app: {service}}}\n", "Dockerfile": "\n".join(lines)}
    machine.project.commit(files)
    environ = machine.runner(event="pull_request_target", secret_variables="NPM_TOKEN")
    words = {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-runner", "NPM_TOKEN": "of-the-workflow"}
    ran = machine.call({**environ, **words}).ended()
    assert "no secret" in ran.log
    assert not [word for word in words.values() if word in ran.log]
    assert not (tmp_path / "ran").exists()


def test_a_build_beside_secrets_has_no_power_over_the_machine(
    machine: Machine, busybox: Path
) -> None:
    """Neither its network nor a file of it, whatever the checkout says; its owner's build has."""
    shutil.copy2(busybox, machine.project.folder / "busybox")
    show = json.dumps(["/busybox", "readlink", "/proc/self/ns/net"])
    lines = ["FROM scratch", f"LABEL {MARK}", "COPY busybox /", "COPY page.html /", f"RUN {show}"]
    powers = 'network: host, entitlements: [network.host], outputs: ["type=local,dest=out"]'
    service = f"{{{powers}, no_cache: true}}"
    files = {"feastflow.yml": f"services: {{app: {service}}}\n", "Dockerfile": "\n".join(lines)}
    machine.project.commit(files)
    host = Path("/proc/self/ns/net").readlink().name
    ran = machine.call(machine.runner(event="pull_request_target", command="build")).ended()
    assert "app is built without network, entitlements, outputs of its own" in ran.log
    assert "net:[" in ran.log
    assert host not in ran.log
    assert not (machine.project.folder / "out").exists()
    ran = machine.call(machine.runner(command="build")).ended()
    assert host in ran.log
    assert (machine.project.folder / "out/page.html").exists()
