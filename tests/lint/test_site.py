"""The site that `make site` builds: every page is there, and each link inside of it leads on."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / ".dev/site"
PAGES = sorted((ROOT / "docs").glob("*.md"))


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors.add(found.get("id") or "")
        if tag == "a":
            self.links.append(found.get("href") or "")


read = cache(Page)


@pytest.mark.soak
def test_every_link_of_the_site_leads_somewhere() -> None:
    environ = {name: each for name, each in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run(["make", "site"], cwd=ROOT, env=environ, check=True)
    for page in PAGES:
        file = SITE / page.with_suffix(".html").name
        links = [urlsplit(each) for each in read(file).links]
        assert len(links) > len(PAGES)
        for link in links:
            if link.scheme:
                continue
            to = SITE / unquote(link.path) if link.path else file
            assert to.is_file(), f"{file.name}: {link.geturl()}"
            assert not link.fragment or link.fragment in read(to).anchors, link.geturl()
