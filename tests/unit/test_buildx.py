"""What BuildKit's closing line means: a denial, a passing failure, or the Dockerfile's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes import FakeLog

from feastflow_registry.buildx import Buildx
from feastflow_registry.errors import Failure, Kind
from feastflow_registry.references import RegistryHost


class Scripted(Buildx):
    """A builder whose every session ends with the same error."""

    error = ""
    sessions = 0

    def _session(self, command: Sequence[str], definition: str) -> tuple[int, str]:
        self.sessions += 1
        return 1, self.error


@pytest.mark.parametrize(
    ("error", "kind", "sessions"),
    [
        ("unexpected status from POST request to https://r/v2/: 403 Forbidden", Kind.REFUSED, 1),
        ('process "/bin/sh -c denied" did not complete successfully: 1', Kind.BUILD, 1),
        ('process "/bin/sh -c cat <<EOF" did not complete successfully: 1', Kind.BUILD, 1),
        ("unexpected status: 503 Service Unavailable", Kind.BUILD, 4),
        ("failed to push r/a: unexpected EOF", Kind.UNREACHABLE, 4),
    ],
)
def test_what_an_error_means(error: str, kind: Kind, sessions: int, tmp_path: Path) -> None:
    host = RegistryHost("r.example.com")
    buildx = Scripted(tmp_path, {}, FakeLog(), lambda _: None, "", host, None)
    buildx.__dict__["_program"] = ["docker-buildx"]
    buildx.error = error
    with pytest.raises(Failure) as caught:
        buildx.bake("{}", tmp_path / "metadata.json", push=True)
    assert (caught.value.kind, buildx.sessions) == (kind, sessions)
