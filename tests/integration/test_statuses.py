"""A record at the commit: one request a service, and never a reason to fail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.fault_scenes import KINDS, PreparedRun
from support.machine import Machine, Ran
from support.published_pair import PublishedPair
from support.registries import GITHUB_TOKEN, LocalRegistry
from support.servers.fault_proxy import Fault, FaultProxy
from support.servers.github_api import READ, GitHubApi, Status
from support.soak import chosen, one_in

from integration.conftest import Builder

RUN = "https://github.com/feastflow/app/actions/runs/1"
FIX = "Give the job `permissions: statuses: write`"


@pytest.fixture
def prepared(
    place: LocalRegistry,
    machines: Callable[[LocalRegistry, Builder], Machine],
    remote: Builder,
    pair: PublishedPair,
    monkeypatch: pytest.MonkeyPatch,
    github: FaultProxy,
) -> Iterator[PreparedRun]:
    """Runs that find all they publish on the registry, so that nothing is built."""
    laid = PreparedRun.prepare("rerun", machines(place, remote), pair, monkeypatch)
    laid.reset()
    yield laid
    github.clear()


def posts(github: FaultProxy) -> list[str]:
    """The statuses that were sent, by how they ended."""
    found = [each for each in github.requests if each.method == "POST"]
    assert {each.path.rpartition("/")[0] for each in found} <= {"/repos/feastflow/app/statuses"}
    return [str(each.status) for each in found]


def notices(ran: Ran) -> list[str]:
    """What the runner shows as notices about statuses."""
    return [
        each for each in ran.log.splitlines() if each.startswith("::notice") and "status" in each
    ]


def test_each_published_image_sets_one(
    prepared: PreparedRun, api: GitHubApi, github: FaultProxy
) -> None:
    api.statuses.clear()
    before = len(posts(github))
    ran = prepared.run().ended()
    short = prepared.new.partition(":")[2][:12]
    description = f"app:{prepared.own} sha256:{short}"
    sha = prepared.machine.project.head
    assert api.statuses == [Status(sha, "success", "registry/app", description, RUN)]
    assert posts(github)[before:] == ["201"]
    assert notices(ran) == []


@pytest.mark.parametrize(
    ("status", "cause"),
    chosen(
        [
            (401, "GitHub answered 401."),
            (403, "GitHub answered 403."),
            (404, "GitHub answered 404."),
            (422, "GitHub answered 422."),
            (503, "answered 503, "),
        ]
    ),
)
def test_a_refusal_is_one_notice_and_the_run_is_green(
    prepared: PreparedRun, api: GitHubApi, github: FaultProxy, status: int, cause: str
) -> None:
    api.statuses.clear()
    github.add(Fault("status", method="POST", status=status, times=None))
    ran = prepared.run()
    prepared.check_done(ran)
    [notice] = notices(ran)
    assert cause in notice
    assert FIX in notice
    assert api.statuses == []


def test_a_token_without_the_permission(prepared: PreparedRun, api: GitHubApi) -> None:
    api.tokens = {GITHUB_TOKEN: [READ]}
    ran = prepared.run()
    prepared.check_done(ran)
    [notice] = notices(ran)
    assert "GitHub answered 403. " + FIX in notice


def test_an_api_that_is_gone(prepared: PreparedRun, github: FaultProxy) -> None:
    github.add(Fault("reset_before", times=None, method="POST"))
    ran = prepared.run()
    prepared.check_done(ran)
    cause = "GitHub's API broke the connection or could not be reached"
    assert re.search(cause + r", \d times\. " + FIX, notices(ran)[0])
    assert ran.slept < 20, "a status is not worth a long wait"


def test_without_a_token_nothing_is_sent(
    prepared: PreparedRun, api: GitHubApi, github: FaultProxy
) -> None:
    api.private = False
    before = len(posts(github))
    ran = prepared.machine.call(prepared.machine.runner(github_token=""))
    prepared.check_done(ran)
    [notice] = notices(ran)
    assert 'the input "github-token" is empty. ' + FIX in notice
    assert posts(github)[before:] == []


@pytest.mark.parametrize("kind", one_in(2, ["429", "503", "reset_before", "reset_after"]))
def test_one_bad_moment_is_survived(
    prepared: PreparedRun, api: GitHubApi, github: FaultProxy, kind: str
) -> None:
    api.statuses.clear()
    fault = github.add(Fault(method="POST", **KINDS[kind]))
    ran = prepared.run().ended()
    assert fault.fired == 1
    assert {each.context for each in api.statuses} == {"registry/app"}
    assert notices(ran) == []


@pytest.mark.parametrize("inputs", [{"dry_run": "true"}, {"command": "build"}])
def test_what_publishes_nothing_sets_none(
    prepared: PreparedRun, github: FaultProxy, inputs: dict[str, str]
) -> None:
    before = len(posts(github))
    ran = prepared.machine.call(prepared.machine.runner(**dict[str, Any](inputs)))
    assert posts(github)[before:] == []
    assert notices(ran) == []


def test_a_run_by_hand_sets_none(prepared: PreparedRun, github: FaultProxy) -> None:
    before = len(posts(github))
    machine = prepared.machine
    machine.project.commit()
    options = ["--registry", machine.place.host, "--builder", "feastflow-tests"]
    options += ["--shared-tags", "false", "--image", "app", "--namespace", "feastflow"]
    ran = machine.run(machine.laptop(GITHUB_API_URL=github.url), "publish", *options)
    assert ran.code == 0, ran.log
    assert posts(github)[before:] == []
    assert "status" not in ran.log
