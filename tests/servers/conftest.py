"""What the tests of the servers share. The registry's program must be on PATH."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from support.servers.images import MANIFEST
from support.servers.registry import Registry


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        # distribution 2.8 answers 404 for an OCI manifest that the client does not say it accepts.
        session.headers["Accept"] = f"{MANIFEST}, */*"
        yield session


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry
