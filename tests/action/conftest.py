"""Fixtures: a runner, and what stands in for the host of its packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.installing import FAKE_UV, Runner
from support.servers.certificates import Authority
from support.servers.wheel_host import WheelHost, locked_wheels, wheel

SMALL = {
    "package-1-py3-none-any.whl": wheel({"package.py": "", "package-1.dist-info/METADATA": ""}),
    "folder-1.2-py3-none-any.whl": wheel({"folder/__init__.py": "", "folder/deep/a.so": "x"}),
    "third-3-py3-none-any.whl": wheel({"third.py": "VALUE = 3\n"}),
}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def host(authority: Authority) -> Iterator[WheelHost]:
    """A host of three small wheels."""
    with WheelHost(authority, SMALL) as host:
        yield host


@pytest.fixture
def runner(tmp_path: Path, host: WheelHost, authority: Authority) -> Runner:
    """A runner that needs the three small wheels; nobody has configured anything there."""
    runner = Runner(tmp_path)
    (runner.action / "wheels.txt").write_text("".join(map(host.row, host.files)))
    runner.environ = {
        "SSL_CERT_FILE": str(authority.file),
        "PIP_CONFIG_FILE": "/dev/null",
        "UV_CONFIG_FILE": "/dev/null",
    }
    return runner


@pytest.fixture
def uv(runner: Runner) -> None:
    """A uv that says that it was called."""
    runner.put("uv", FAKE_UV)


@pytest.fixture
def real_wheels(tmp_path: Path) -> dict[str, bytes]:
    """The locked packages for this Python."""
    python = f"{sys.base_prefix}/bin/python3"
    asked = [python, "-I", "-m", "pip", "--version"]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("there is no pip to fetch them with")
    return locked_wheels(tmp_path / "wheels", python)
