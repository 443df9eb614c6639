"""Every form of a token, and every place where a run could leave one."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import shutil
import stat
import threading
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

GZIP = b"\x1f\x8b"
SHIM = """#!/bin/bash
{{ printf '%s\\0' "${{0##*/}}" "$@"; printf '\\n'; }} > {records}/$$-$RANDOM.argv
/bin/cat /proc/self/environ > {records}/"$$-${{0##*/}}-$1-$2".environ
exec {real} "$@"
"""


def forms(token: str, username: str) -> dict[str, bytes]:
    """What the token looks like: raw, in JSON, in a URL, and within base64 at any offset.

    https://datatracker.ietf.org/doc/html/rfc4648#section-4: three bytes become four characters,
    so that what surrounds the token shifts it; only characters made of it alone are looked for.
    """
    pair = f"{username}:{token}".encode()
    escaped = json.dumps(token)[1:-1]
    found = {
        "raw": token.encode(),
        "in JSON": escaped.encode(),
        "in a URL": urllib.parse.quote(token, safe="").encode(),
        "hexadecimal": token.encode().hex().encode(),
    }
    inner = {"": token.encode(), " in JSON": escaped.encode(), " of base64": base64.b64encode(pair)}
    for what, text in inner.items():
        for offset in range(3):
            plain = _within_base64(text, offset)
            found[f"base64{what} at {offset}"] = plain
            found[f"base64url{what} at {offset}"] = plain.replace(b"+", b"-").replace(b"/", b"_")
    return found


def _within_base64(text: bytes, offset: int) -> bytes:
    encoded = base64.b64encode(b"\0" * offset + text)
    first, whole = -(-offset * 4 // 3), (offset + len(text)) * 4 // 3
    return encoded[first : whole - 1]


def in_text(data: bytes, sought: Mapping[str, bytes]) -> list[str]:
    """The names of the forms that a text holds."""
    return [name for name, form in sought.items() if form in data]


def in_files(folders: Iterable[Path], sought: Mapping[str, bytes]) -> list[str]:
    """The files that hold a form, as `path: form`; compressed ones are looked into."""
    return [
        f"{path}: {name}"
        for folder in folders
        for path in _files(folder)
        for name in in_text(_content(path), sought)
    ]


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path


def _content(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError:  # Gone again while it runs.
        return b""
    if data.startswith(GZIP):
        with contextlib.suppress(OSError, EOFError):
            return data + gzip.decompress(data)
    return data


@dataclass
class Watch:
    """What was seen of processes: `argv`, forms in anybody's command line; `seen`, how many."""

    sought: Mapping[str, bytes]
    argv: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Look at every process of the machine until it is over."""
        while not self._over.wait(0.002):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    self._look_at(process)

    def _look_at(self, process: Path) -> None:
        line = (process / "cmdline").read_bytes()
        self.seen.add(line.decode(errors="replace"))
        self.argv |= {f"{line[:200]!r}: {name}" for name in in_text(line, self.sought)}

    def end(self) -> None:
        """Stop looking."""
        self._over.set()


@contextmanager
def watching(sought: Mapping[str, bytes]) -> Iterator[Watch]:
    """Look at the command lines of all processes while the test does something."""
    watch = Watch(sought)
    thread = threading.Thread(target=watch.look)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()


@dataclass(frozen=True)
class Shims:
    """Programs that note their command line and environment, then become the real ones.

    However short a process lives, they miss none of those that are found on PATH.
    """

    folder: Path

    def put(self, names: Iterable[str], path: str, plugins: Path) -> dict[str, str]:
        """Stand before some programs and before buildx; the variables that make a job use them."""
        bin_, records = self.folder / "bin", self.folder / "records"
        config = self.folder / "docker-config"
        for each in (bin_, records, config / "cli-plugins"):
            each.mkdir(parents=True)
        for name in names:
            real = shutil.which(name, path=path)
            assert real, name
            self._write(bin_ / name, real)
        buildx = plugins / "docker-buildx"
        if buildx.exists():  # Elsewhere, docker finds it by itself.
            self._write(config / "cli-plugins" / "docker-buildx", str(buildx.resolve()))
        return {"PATH": f"{bin_}{os.pathsep}{path}", "DOCKER_CONFIG": str(config)}

    def _write(self, path: Path, real: str) -> None:
        path.write_text(SHIM.format(records=self.folder / "records", real=real))
        path.chmod(0o755)

    @property
    def argv(self) -> dict[str, bytes]:
        """The command lines."""
        return {each.name: each.read_bytes() for each in self._records("argv")}

    @property
    def environ(self) -> dict[str, bytes]:
        """The environments by program and first words, `…-docker-buildx-bake.environ`."""
        return {each.name: each.read_bytes() for each in self._records("environ")}

    def _records(self, kind: str) -> list[Path]:
        return sorted((self.folder / "records").glob(f"*.{kind}"))
