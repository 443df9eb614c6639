"""Draws Markdown as GitHub shows it, and what a terminal shows, with a headless Chromium."""

from __future__ import annotations

import html
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")


@dataclass(frozen=True, slots=True)
class Colours:
    """What things are drawn in. https://primer.style/product/primitives/color/."""

    text: str
    ground: str
    line: str
    shade: str
    link: str


LIGHT = Colours("#1f2328", "#ffffff", "#d1d9e0", "#f6f8fa", "#0969da")
DARK = Colours("#f0f6fc", "#0d1117", "#3d444d", "#151b23", "#4493f8")


def style(colours: Colours) -> str:
    """The look of a page on GitHub."""
    return f"""
body {{ font: 16px/1.5 "Liberation Sans", "Noto Color Emoji", sans-serif; margin: 24px;
  color: {colours.text}; background: {colours.ground}; }}
h3 {{ font-size: 1.25em; margin: 0 0 16px; }} a {{ color: {colours.link}; text-decoration: none; }}
table {{ border-collapse: collapse; margin: 0 0 16px; }}
tr:nth-child(2n) {{ background: {colours.shade}; }}
th, td {{ border: 1px solid {colours.line}; padding: 6px 13px; }}
code, pre {{ font-family: "Liberation Mono", "Noto Color Emoji", monospace; }}
code {{ background: #818b9833; border-radius: 6px; font-size: 85%; padding: .2em .4em; }}
pre {{ background: {colours.shade}; border: 1px solid {colours.line}; border-radius: 6px;
  padding: 16px; margin: 0; }}
pre code {{ background: none; padding: 0; }}
"""


def of_markdown(text: str) -> str:
    """What stands in the body of a page."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark").enable("table").render(text))


def of_terminal(text: str, columns: int) -> str:
    """A screen, which breaks lines that are too long; what was typed is bold."""
    broken = (
        line[at : at + columns] or " "
        for line in text.rstrip("\n").splitlines()
        for at in range(0, len(line) or 1, columns)
    )
    lines = map(html.escape, broken)
    typed = (f"<b>{each}</b>" if each.startswith("$ ") else each for each in lines)
    return "<pre>" + "\n".join(typed) + "</pre>"


def browser() -> str:
    """A browser of this machine; an exit where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or sys.exit(f"no browser draws the pictures: install one of {', '.join(BROWSERS)}")


def draw(body: str, colours: Colours, to: Path, *, width: int, height: int) -> None:
    """Write a picture (PNG) of a page, of some pixels."""
    page = f"<!doctype html><meta charset=utf-8><style>{style(colours)}</style>{body}"
    with tempfile.NamedTemporaryFile("w", suffix=".html", encoding="utf-8") as file:
        file.write(page)
        file.flush()
        argv = [browser(), "--headless", "--no-sandbox", "--hide-scrollbars"]
        argv += [f"--window-size={width},{height}", f"--screenshot={to}", f"file://{file.name}"]
        subprocess.run(argv, check=True, capture_output=True)
