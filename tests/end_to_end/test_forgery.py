"""Untrusted text gives the runner no orders: not a build's output, a branch or a message."""

from __future__ import annotations

import json
import secrets

from conftest import Stack
from support import events
from support.act import Job, Runner
from support.registries import LocalRegistry
from support.repositories import MARK, Project
from support.soak import soak

ORDERS = (
    "::set-output name=pushed::forged",
    "::error::forged",
    "::warning::forged",
    "::add-path::forged",
    "::set-env name=PATH::forged",
    "##[error]forged",
    "::stop-commands::forged",
)
# A carriage return puts them at the beginning of a line: BuildKit itself puts something before.
OUTPUT = "".join(f"\\\\r{order}\\\\n{order}\\\\r" for order in ORDERS)


def _dockerfile() -> str:
    return (
        f"FROM scratch\nLABEL {MARK}\nCOPY busybox page.html /\n"
        f'RUN ["/busybox", "printf", "{OUTPUT}"]\n'
        'RUN ["/busybox", "false"]\n'
    )


def _check_nothing_is_obeyed(job: Job) -> None:
    """Every order is shown, and none is obeyed: act shows one that it ignores after a wheel."""
    shown = "\n".join(str(each.get("msg", "")) for each in job.events)
    assert all(order in shown for order in ORDERS)
    for each in job.events:
        line = str(each.get("msg", "")).strip()
        if "forged" in line and not each.get("raw_output"):
            assert line.startswith("⚙  "), line
            assert line.removeprefix("⚙  ") == str(each.get("raw")).strip(), line
    assert "forged" not in job.outputs().values()
    assert not [each for each in job.errors if each == "forged"]


@soak
def test_a_builds_output_forges_no_command(
    stack: Stack, place: LocalRegistry, project: Project, runner: Runner
) -> None:
    stack.give_busybox(project.folder)
    # A step that is in the engine's cache prints nothing.
    files = {"Dockerfile": _dockerfile(), "page.html": secrets.token_hex()}
    project.commit(files, message="\n".join(("A change", *ORDERS)))
    job = runner.run(project.folder, events.push("main", project.head)).failed(4)
    _check_nothing_is_obeyed(job)
    [error] = job.errors
    assert error.startswith("the build of ")
    assert place.tags() == {}


def test_a_branchs_name_stays_text(place: LocalRegistry, project: Project, runner: Runner) -> None:
    branch = "x%0A%0D-error-`<img-src=x>`|a|_b_@team&amp;##forged"
    project.git("checkout", "--quiet", "-b", branch)
    sha = project.commit(message="::error::forged")
    job = runner.run(project.folder, events.push(branch, sha)).ended()
    outputs = job.outputs()
    reason = f'branch {branch} is not among the branches that may push (the input "branches": main)'
    assert outputs["reason"] == reason
    assert json.loads(outputs["plan"])["reason"] == reason
    assert outputs["pushed"] == "false"
    obeyed = {each.get("command") for each in job.events if "forged" in str(each.get("arg"))}
    assert obeyed == {"group", "set-output"}, "they hold the reason"
    for forbidden in ("<img", "|a|", "`<", "_b_", "@team", "&amp;##"):
        assert forbidden not in job.summary
    assert place.proxy.requests == ()
