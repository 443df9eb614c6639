"""No unit test reaches outside its process."""

from __future__ import annotations

import os
import pkgutil
import socket
import subprocess
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NoReturn

import hypothesis
import pytest

import feastflow_registry
from feastflow_registry.model import parallel

# A busy machine fails no test, and none leaves files behind. mutmut runs a test time and again.
hypothesis.settings.register_profile(
    "unit",
    deadline=None,
    database=None,
    max_examples=20 if "MUTANT_UNDER_TEST" in os.environ else 100,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.differing_executors,
    ],
)
hypothesis.settings.load_profile("unit")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Measure what is imported, and not how tests are found."""
    plugin: Any = session.config.pluginmanager.getplugin("_cov")
    if plugin is None:
        return (yield)
    for each in pkgutil.walk_packages(feastflow_registry.__path__, "feastflow_registry."):
        if not each.name.endswith("__main__"):
            import_module(each.name)
    plugin.cov_controller.pause()
    try:
        return (yield)
    finally:
        plugin.cov_controller.resume()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Measure no property: an example takes every branch, and measuring triples its time."""
    if isinstance(item, pytest.Function) and hypothesis.is_hypothesis_test(item.obj):
        item.add_marker("no_cover")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every socket and every child process fail."""

    class Refused:
        def __init__(self, *_: object, **__: object) -> None:
            _refuse()

    def _refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail("a unit test opened a socket or started a process")

    monkeypatch.setattr(socket, "socket", Refused)
    monkeypatch.setattr(socket, "create_connection", _refuse)
    monkeypatch.setattr(subprocess, "Popen", Refused)


@pytest.fixture(autouse=True)
def one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a run's requests in one order, so that a test can name each of them."""
    monkeypatch.setattr(parallel, "AT_ONCE", 1)
