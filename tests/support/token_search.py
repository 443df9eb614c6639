"""Every form of a token, and every place where a run could leave one."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import shutil
import threading
import urllib.parse
from collections.abc import Iterable, Mapping
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
    return in_texts(files(*folders), sought)


def in_texts(texts: Mapping[str, bytes], sought: Mapping[str, bytes]) -> list[str]:
    """The texts that hold a form, as `text's name: form`."""
    return [f"{where}: {name}" for where, text in texts.items() for name in in_text(text, sought)]


def files(*folders: Path) -> dict[str, bytes]:
    """Every file below some folders: its name and its content, compressed content twice."""
    return {
        str(path): str(path).encode() + b"\n" + _content(path)
        for folder in folders
        for parent, _, names in os.walk(folder)
        for path in (Path(parent, name) for name in names)
        if path.is_file() and not path.is_symlink()
    }


def _content(path: Path) -> bytes:
    data = read(path)
    if data.startswith(GZIP):
        with contextlib.suppress(OSError, EOFError):
            return data + gzip.decompress(data)
    return data


def read(path: Path) -> bytes:
    """What a file holds; nothing, if it is gone again."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


@dataclass
class Watch:
    """Looks at every process of the machine, again and again, until the block ends."""

    argv: set[bytes] = field(default_factory=set)
    """Every command line that was ever seen."""
    environ: dict[bytes, set[bytes]] = field(default_factory=dict)
    """Every environment that was ever seen, by command line."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stop.set()
        assert self._thread
        self._thread.join()

    def _look(self) -> None:
        mine = str(os.getpid())
        while not self._stop.wait(0.002):
            for process in Path("/proc").glob("[0-9]*"):
                argv = read(process / "cmdline")
                if not argv or process.name == mine:
                    continue
                self.argv.add(argv)
                if environ := read(process / "environ"):
                    self.environ.setdefault(argv, set()).add(environ)

    def holders(self, sought: Mapping[str, bytes]) -> dict[str, set[str]]:
        """The commands that had a form in their environment, and in which variables."""
        found: dict[str, set[str]] = {}
        for argv, environs in self.environ.items():
            for entry in b"\0".join(environs).split(b"\0"):
                if in_text(entry, sought):
                    command = argv.replace(b"\0", b" ").decode(errors="replace")
                    found.setdefault(command, set()).add(entry.partition(b"=")[0].decode())
        return found


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
