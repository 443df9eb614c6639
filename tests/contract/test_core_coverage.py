"""The unit tests alone take every branch of the core rooms, which their `.coveragerc` lists."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def test_every_branch_is_taken(tmp_path: Path) -> None:
    clean = {name: each for name, each in os.environ.items() if not name.startswith("COV")}
    environ = {**clean, "COVERAGE_FILE": str(tmp_path / "coverage")}

    def coverage(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "coverage", *arguments]
        return subprocess.run(
            command, cwd=TOP, env=environ, capture_output=True, text=True, check=False
        )

    options = ("--rcfile", "tests/unit/.coveragerc")
    ran = coverage("run", *options, "-m", "pytest", "-p", "no:cacheprovider", "tests/unit")
    assert ran.returncode == 0, ran.stdout[-4000:]
    report = coverage("report", *options)
    assert report.returncode == 0, report.stdout
