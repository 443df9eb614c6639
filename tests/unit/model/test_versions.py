"""Which names are versions, and which of two is higher."""

from __future__ import annotations

import itertools

import pytest

from feastflow_registry.model.versions import Version, prefix_of


@pytest.mark.parametrize(
    ("name", "version", "line"),
    [
        ("v1.2.3", "1.2.3", ("1", "2")),
        ("1.2", "1.2", ("1", "2")),
        ("v0.29", "0.29", ("0", "29")),
        ("2024.06.01", "2024.06.01", ("2024", "06")),
        ("v1.2.3+build5", "1.2.3", ("1", "2")),
        ("v1.2.3.4", "1.2.3.4", ("1", "2")),
        ("v3.0.0-rc.1", "3.0.0-rc.1", None),
        ("1.0-beta+x.7", "1.0-beta", None),
        ("9" * 100 + ".1", "9" * 100 + ".1", ("9" * 100, "1")),
    ],
)
def test_a_version(name: str, version: str, line: tuple[str, str] | None) -> None:
    found = Version.read(name)
    assert found
    assert found.values["version"] == version
    assert (found.values.get("major"), found.values.get("minor")) == (line or (None, None))
    assert found.is_stable is bool(line)


@pytest.mark.parametrize(
    "name", ["", "v", "1", "v1.", "docker-v0.1.3", "v1.2.x", "1.2.3.4.5", "v1.2 ", "vv1.2", "1.2-"]
)
def test_no_version(name: str) -> None:
    assert Version.read(name) is None


@pytest.mark.parametrize(
    ("pattern", "name", "version"),
    [
        ("frontend/v*", "frontend/v1.2.0", "1.2.0"),
        ("frontend/*", "frontend/1.2.0", "1.2.0"),
        ("docker-v*", "docker-v0.1.3", "0.1.3"),
        ("pkg@*", "pkg@1.0.0", "1.0.0"),
        ("v[0-9]*", "v1.0", "1.0"),
        ("*", "v1.0", "1.0"),
        ("v1.*", "v1.2.3", "1.2.3"),
        ("v2*", "v2.1.0", "2.1.0"),
        ("v1.2.*", "v1.2.3", "1.2.3"),
        ("release/1.*", "release/1.4.2", "1.4.2"),
        ("dev*", "dev1.2", "1.2"),
        ("dev*", "de1.2", None),
        ("**", "v1.0", "1.0"),
        ("v1.0", "v1.0", "1.0"),
        ("frontend/v*", "backend/v1.2.0", None),
        ("*", "frontend/v1.2.0", None),
    ],
)
def test_a_prefix_is_named_by_the_pattern(pattern: str, name: str, version: str | None) -> None:
    found = Version.read(name, prefix_of(pattern))
    assert (found.values["version"] if found else None) == version


def test_the_order_is_by_numbers_whatever_their_length() -> None:
    names = [
        "v0.9",
        "v0.29",
        "1.0",
        "v1.0.0",
        "v1.0.1",
        "v1.2.0",
        "1.10",
        "2024.06.01",
        "2024.10.1",
    ]
    versions = [Version.read(name) for name in names]
    assert all(versions)
    for lower, higher in itertools.pairwise(each.order for each in versions if each):
        assert lower < higher
