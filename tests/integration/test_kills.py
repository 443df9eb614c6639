"""Every command, ended at each of its requests: nothing is left, and a second run ends right."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.fault_scenes import is_ours
from support.machine import Machine
from support.published_pair import PublishedPair
from support.registries import LocalRegistry
from support.scenes import COMMANDS, Scene
from support.servers.faults import Fault
from support.soak import soak

from integration.conftest import Builder

ENDS = {signal.SIGINT: (130,), signal.SIGTERM: (143,), signal.SIGKILL: (-signal.SIGKILL,)}
LATEST = 100
"""More requests than any of these runs sends."""


def alive(mark: str) -> list[str]:
    """The processes that a run has started: each was given the run's own folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
    return found


@soak
@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_that_ends_anywhere_is_finished_by_another(
    place: LocalRegistry,
    machines: Callable[[LocalRegistry, Builder], Machine],
    remote: Builder,
    pair: PublishedPair,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    how: signal.Signals,
) -> None:
    if signal.getsignal(how) is signal.SIG_IGN:
        pytest.skip("whoever started the tests in the background has it ignored")
    scene = Scene.prepare(command, machines(place, remote), pair, monkeypatch)
    scene.reset()
    whole = scene.state(scene.run().ended())
    for nth in range(1, LATEST):
        scene.reset()
        fault = place.proxy.add(Fault("hold", match=is_ours, nth=nth))
        environ = scene.environ()
        running = scene.machine.start(environ)
        while not fault.arrived.wait(0.1) and running.process.poll() is None:
            pass
        if not fault.fired:
            assert running.end().code == 0
            assert nth > 2
            return
        running.process.send_signal(how)
        ran = running.end()
        fault.release()
        assert ran.code in ENDS[how], (nth, ran.shown)
        assert alive(environ["RUNNER_TEMP"]) == [], nth
        assert "Traceback" not in ran.log
        scene.place.proxy.clear()
        again = scene.run().ended()
        assert scene.state(again) == whole, (nth, ran.shown, again.shown)
    raise AssertionError("a run of a hundred requests")
