"""Interrupted means over: nothing begins after the signal, and no stalled request is waited for."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest
from support.machine import PROGRAM, Machine, Ran, Running
from support.published_pair import PublishedPair
from support.registries import LocalRegistry
from support.servers.faults import Fault
from support.soak import chosen


@pytest.fixture
def published(place: LocalRegistry, pair: PublishedPair) -> PublishedPair:
    pair.lay_out(place)
    return pair


def interrupt(running: Running, fault: Fault, place: LocalRegistry) -> tuple[Ran, int]:
    """End a run while one of its requests is not answered; how many requests it then makes."""
    assert fault.arrived.wait(300)
    running.process.send_signal(signal.SIGTERM)
    ran = running.end(300)  # Nothing is released before it has ended.
    before = len(place.proxy.requests)
    place.proxy.clear()
    assert ran.code == 143
    assert "The run was cancelled." in ran.log
    assert "Traceback" not in ran.log
    return ran, len(place.proxy.requests) - before


@pytest.mark.parametrize("command", chosen(["tags", "doctor", "publish"]))
def test_a_stalled_request_is_not_waited_for(
    machine: Machine, place: LocalRegistry, published: PublishedPair, command: str
) -> None:
    fault = place.proxy.add(Fault("stall", path="manifests/|blobs/", times=None))
    running = machine.start(machine.runner(command=command))
    _, later = interrupt(running, fault, place)
    assert later == 0


@pytest.mark.parametrize(
    "inputs",
    [
        {"command": "promote", "tag": ",".join(f"region-{n}" for n in range(20)), "to": "latest"},
        {"command": "rollback", "tag": "latest", "to": ""},
    ],
    ids=lambda inputs: str(inputs["command"]),
)
def test_no_write_begins(
    machine: Machine, place: LocalRegistry, published: PublishedPair, inputs: dict[str, Any]
) -> None:
    machine.project = published.project.copy(machine.folder)
    if inputs["command"] == "rollback":
        place.retag({"latest": place.tags()[f"commit-{published.second[:7]}"]})
    fault = place.proxy.add(Fault("hold", method="PUT", times=None))
    running = machine.start(machine.runner(event="workflow_dispatch", **inputs), "--json")
    assert fault.arrived.wait(300)
    ran, later = interrupt(running, fault, place)
    writes = [each for each in place.proxy.requests if each.method == "PUT"]
    assert 1 <= len(writes) <= 8
    assert later == 0
    assert "In doubt, for it was not read back" in ran.log
    assert '"exit_code": 143' in ran.log
    assert (ran.outputs["pushed"], ran.outputs["reason"]) == ("false", "the run was cancelled.")
    assert " was cancelled: " in ran.summary


# As the kernel may choose: a signal that another thread gets ends no wait of the main thread.
_DEAF = """
import signal, threading
from feastflow_registry import cli
stop = threading.Event()
cli._obey_signals(stop)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
print("ready", flush=True)
try:
    threading.Event().wait()
finally:
    print(stop.is_set(), flush=True)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_another_thread_gets_is_heard(number: int, code: int) -> None:
    # In the background, SIGINT is ignored, and so is it by whom it starts.
    listening = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler){_DEAF}"
    with subprocess.Popen(
        [PROGRAM[0], "-c", listening], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            said, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, said) == (code, "True\n")
    assert "ignored" not in errors


def test_whoever_reads_along_is_interrupted_too(
    machine: Machine, place: LocalRegistry, published: PublishedPair
) -> None:
    """As by Ctrl-C in `feastflow-registry tags | tee log`, but by what no background ignores."""
    fault = place.proxy.add(Fault("stall", times=None))
    process = subprocess.Popen(
        [*PROGRAM, "tags"],
        env=machine.laptop(FEASTFLOW_REGISTRY=place.host),
        cwd=machine.project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert fault.arrived.wait(300)
    process.stdout.close()
    process.terminate()
    assert process.stderr
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(300) == 143
