"""The registries that the contract is checked on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from support.contract_registries import KINDS, ContractRegistry, open_registry


@pytest.fixture(scope="module")
def binary(request: pytest.FixtureRequest) -> str:
    """The registry's program: on PATH, or the development stack's."""
    found = shutil.which("docker-registry")
    if found is None:
        path = request.getfixturevalue("stack").variables()["PATH"]
        found = shutil.which("docker-registry", path=path)
    assert found
    return found


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest) -> Iterator[ContractRegistry]:
    kind = request.param
    binary = "" if kind == "fake" else request.getfixturevalue("binary")
    with open_registry(kind, binary) as shelf:
        yield shelf


@pytest.fixture
def shelf(shared: ContractRegistry) -> ContractRegistry:
    """A registry with a repository that nobody has used."""
    shared.turn_over()
    return shared
