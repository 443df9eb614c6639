"""How untrusted text and long lists are put into a sentence."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str, most: int = 0) -> str:
    """Put a text on one line that no terminal obeys; shortened to ``most`` characters, if given."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return f"{line[: most - 1]}…" if 0 < most < len(line) else line


def lower_ascii(text: str) -> str:
    """Write ASCII in lower case: another letter may become one of ASCII by that."""
    return "".join(each.lower() if each.isascii() else each for each in text)


def some(names: Sequence[str], most: int = 5) -> str:
    """Name a few of many, and say how many more there are: ``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def size(count: int) -> str:
    """Bytes as people read them, in the decimal units that Docker shows."""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
