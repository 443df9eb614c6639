"""Which certificates are trusted, of those that this machine's owner has named."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.failures import fails

from feastflow_registry.model.errors import Kind
from feastflow_registry.transport import certificates

ORDER = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_first_variable_that_is_set_counts(first: int, tmp_path: Path) -> None:
    """As where the action installs itself: see `tests/action/test_wheels.py`."""
    places = {name: tmp_path / name for name in ORDER}
    for place in places.values():
        place.write_text("-----BEGIN CERTIFICATE-----")
    environ = {name: str(places[name]) for name in ORDER[first:]}
    unset = dict.fromkeys(ORDER[:first], "")
    assert certificates.find(environ | unset) == str(places[ORDER[first]])
    places[ORDER[first]].write_text("none")
    with fails(f"the variable {ORDER[first]} names", kind=Kind.INPUT):
        certificates.find(environ)
