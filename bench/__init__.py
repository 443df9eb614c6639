"""Measures what the action costs beside what it replaces; README.md says how to read it."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The registry, its proxy and GitHub's API are the tests' own.
sys.path.append(str(ROOT / "tests"))
