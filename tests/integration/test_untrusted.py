"""Text from anywhere forges no workflow command, no table cell, no terminal escape."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from support.machine import Machine
from support.registries import LocalRegistry
from support.repositories import MARK
from support.servers.faults import Fault
from support.soak import one_in

NOISE = [
    "::error::forged",
    "::set-output name=pushed::true",
    "::add-mask::e",
    "::stop-commands::mine",
    "::mine::",
    "::group::forged",
    "##[error]forged",
    "##[add-mask]e",
    "\x1b[2Jcleared",
    "line\r::error::forged after a return",
    "  ::warning::forged after spaces",
]
OURS = {"group", "endgroup", "error", "notice", "warning", "add-mask", "stop-commands"}


def obeyed(log: str) -> list[tuple[str, str]]:
    """The commands that GitHub's runner would carry out, as its source has it.

    https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
    """
    found, stopped = [], ""
    for line in re.split(r"\r\n|\r|\n", log):
        modern = re.match(r"\s*::([\w-]+)(?: [^:]*)?::(.*)", line)
        ancient = re.search(r"##\[([\w-]+)[^\]]*\](.*)", line)
        command = modern or ancient
        if command is None:
            continue
        name, value = command[1], command[2]
        if stopped:
            stopped = "" if name == stopped else stopped
            continue
        found.append((name, value))
        if name == "stop-commands":
            stopped = value
    return found


def test_the_reader_of_commands_is_as_gullible_as_a_runner() -> None:
    names = [name for name, _ in obeyed("\n".join(NOISE[:3] + NOISE[5:7] + NOISE[9:]))]
    assert names == ["error", "set-output", "add-mask", "group", "error", "error", "warning"]


def test_a_noisy_build_forges_nothing(
    machine: Machine, place: LocalRegistry, busybox: Path
) -> None:
    shutil.copy2(busybox, machine.project.folder / "busybox")
    script = "; ".join(f"/busybox printf '%b\\n' {json.dumps(each)}" for each in NOISE)
    lines = ["FROM scratch", f"LABEL {MARK}", "COPY busybox page.html /"]
    lines += [f'RUN ["/busybox", "sh", "-c", {json.dumps(script)}]', ""]
    machine.project.commit({"Dockerfile": "\n".join(lines)})
    ran = machine.publish().ended()
    assert ran.log.count("forged") >= 5, "the build did say it"
    commands = obeyed(ran.log)
    assert {name for name, _ in commands} <= OURS
    assert not [value for name, value in commands if name == "add-mask" and value == "e"]
    assert not [value for name, value in commands if "forged" in value]
    assert "\x1b" not in ran.log
    assert commands[-1][0] == "endgroup", "commands are obeyed again in the end"
    assert ran.outputs["pushed"] == "true"


@pytest.mark.parametrize(
    "branch",
    one_in(
        3,
        [
            "a|b",
            "<img/src=x>",
            "@octocat",
            "`x`",
            "::error",
            "##[error]x",
            "a\nb",
            "x" * 1000,
            "é-ü",
        ],
    ),
)
def test_a_branch_with_a_clever_name(machine: Machine, branch: str) -> None:
    ran = machine.call(machine.runner(ref=f"refs/heads/{branch}"))
    assert ran.code in (0, 2), ran.shown
    for name, value in obeyed(ran.log):
        assert name in OURS
        assert not value.startswith("x")
    rows = [line for line in ran.summary.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) <= 1, "no cell is forged"
    assert "<img" not in ran.summary
    assert "@octocat" not in ran.summary
    if ran.outputs:
        assert ran.outputs["pushed"] == "false"


def test_labels_and_messages_do_not_break_the_summary(
    machine: Machine, place: LocalRegistry
) -> None:
    machine.project.commit(message="::error::forged\n\n| a | <script> | $(id) ${HOME}")
    labels = "note=| <b>x</b> ${HOME} %{if true}\nother=::error::forged"
    ran = machine.publish(labels=labels).ended()
    assert {name for name, _ in obeyed(ran.log)} <= OURS - {"error"}
    assert "<b>" not in ran.summary
    assert place.labels("latest")["note"] == "| <b>x</b> ${HOME} %{if true}"
    assert place.labels("latest")["other"] == "::error::forged"


def test_a_registry_with_a_clever_answer(machine: Machine, place: LocalRegistry) -> None:
    message = "x\n::error::forged\x1b[2J##[error]forged <b>"
    body = json.dumps({"errors": [{"code": "DENIED", "message": message}]}).encode()
    place.proxy.add(Fault("status", status=403, method="POST", body=body, times=None))
    ran = machine.call(machine.runner()).ended(3)
    errors = [value for name, value in obeyed(ran.log) if name == "error"]
    assert len(errors) == 1
    assert "\x1b" not in ran.log
    assert "##[" not in ran.log
    assert "<b>" not in ran.summary
