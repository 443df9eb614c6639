"""The README's first command, as `make demo` runs it."""

from __future__ import annotations

import subprocess

from support.act import ROOT


def test_the_demo_publishes_and_shows_what_answers() -> None:
    done = subprocess.run([ROOT / "dev" / "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'answered: "FeastFlow' in done.stdout
