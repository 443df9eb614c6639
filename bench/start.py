"""Start-up: how long it takes to import what a publish of a published commit needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Alternative, Run

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = "requests, pydantic"
OURS = "feastflow_registry.cli, feastflow_registry.commands.publish"
_TIMED = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"


@dataclass(frozen=True)
class Importer:
    """Imports modules in a process of its own. ``folder``: where bytecode is kept."""

    modules: str
    folder: Path

    def run(self) -> Run:
        """Import them; the seconds without those of Python itself."""
        environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        kept = {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(self.folder)}
        done = subprocess.run(
            [sys.executable, "-c", _TIMED.format(self.modules)],
            env={**environ, **kept},
            capture_output=True,
            text=True,
            check=True,
        )
        return Run({"import": float(done.stdout)})

    def clear(self) -> None:
        """Forget the bytecode of all but Python's own modules, as a fresh install has none."""
        for path in self.folder.rglob("*.pyc"):
            if "site-packages" in path.parts or path.is_relative_to(f"{self.folder}{ROOT}"):
                path.unlink()


@contextmanager
def starts() -> Iterator[list[Alternative]]:
    """The two libraries that every run needs, then the whole program, with and without bytecode."""
    with tempfile.TemporaryDirectory() as warm, tempfile.TemporaryDirectory() as cold:
        libraries, ours = (Importer(each, Path(warm)) for each in (LIBRARIES, OURS))
        fresh = Importer(OURS, Path(cold))
        for each in (libraries, ours, fresh):
            each.run()
        yield [
            Alternative(LIBRARIES, libraries.run),
            Alternative("ours", ours.run, targets={"seconds": 0.2}),
            Alternative("ours, no bytecode", fresh.run, fresh.clear, targets={"seconds": 0.45}),
        ]
