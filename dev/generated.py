"""A file that is generated from others: brought in line, or only checked."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def bring_in_line(path: Path, text: str, *, tool: str, manual: str | None) -> int:
    """Write the file's new text if it differs; with --check, write nothing and give 1."""
    parser = argparse.ArgumentParser(
        prog=tool, description=manual, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    if options.check:
        print(f"{path.name} is not in line: run {tool}", file=sys.stderr)
        return 1
    path.write_text(text, encoding="utf-8")
    return 0
