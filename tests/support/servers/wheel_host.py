"""What stands in for files.pythonhosted.org: wheels over https, and a table of them."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path

from support.act import ROOT
from support.servers.certificates import Authority
from support.servers.serving import Call, Server

OFFICIAL = "https://files.pythonhosted.org/"


class WheelHost(Server):
    """`files`: the wheels by name; `answers`: what is done instead of sending one."""

    def __init__(self, authority: Authority, files: Mapping[str, bytes]) -> None:
        super().__init__()
        self.tls = authority.server()
        self.files = dict(files)
        self.answers: dict[str, Callable[[Call], None]] = {}

    def respond(self, call: Call) -> None:
        """Send the wheel that is asked for."""
        name = call.path.rpartition("/")[2]
        if name in self.answers:
            self.answers[name](call)
        elif name in self.files:
            call.answer(HTTPStatus.OK, self.files[name])
        else:
            call.answer(HTTPStatus.NOT_FOUND)

    @property
    def asked(self) -> list[str]:
        """The names of the files that were asked for, sorted."""
        return sorted(each.path.rpartition("/")[2] for each in self.requests)

    def row(self, name: str, where: str = "any any any") -> str:
        """A file's row of wheels.txt; `where` says which Python, machine and libc it is for."""
        content = self.files[name]
        sha256 = hashlib.sha256(content).hexdigest()
        return f"{where} {len(content)} {sha256} {self.url}/packages/{name}\n"

    def move(self, table: str) -> str:
        """The real wheels.txt, its addresses led here."""
        return table.replace(OFFICIAL, f"{self.url}/")


def wheel(files: Mapping[str, str]) -> bytes:
    """A wheel that holds these files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def locked_wheels(folder: Path, python: str) -> dict[str, bytes]:
    """The locked packages for a Python, as its pip fetches them from the package index."""
    oldest = [f"--platform={each}_{os.uname().machine}" for each in ("manylinux_2_17", "linux")]
    subprocess.run(
        [
            *(python, "-I", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "--no-deps", "--only-binary=:all:", *oldest),
            *("--dest", str(folder), "--requirement", str(ROOT / "requirements.txt")),
        ],
        check=True,
        capture_output=True,
    )
    return {path.name: path.read_bytes() for path in folder.iterdir()}
