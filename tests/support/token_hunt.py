"""Looking for a token wherever it might have been left: in any of its forms."""

from __future__ import annotations

import base64
import itertools
import json
import math
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.registries import USER, Place


def forms(place: Place) -> Mapping[str, bytes]:
    """Every text that gives the token away, by name."""
    token = place.token.encode()
    pair = f"{USER}:{place.token}".encode()
    auth = base64.b64encode(pair).decode()
    config = json.dumps({"auths": {place.host: {"auth": auth}}}).encode()
    found = {"raw": token}
    for name, whole in {"token": token, "pair": pair, "configuration": config}.items():
        for offset in range(3):
            found[f"{name} in base64 at {offset}"] = _core(whole, offset, base64.b64encode)
            found[f"{name} in base64url at {offset}"] = _core(
                whole, offset, base64.urlsafe_b64encode
            )
    found["hex"] = token.hex().encode()
    return found


def _core(whole: bytes, offset: int, encode: object) -> bytes:
    """The part of an encoding that is the same whatever stands before and after."""
    assert callable(encode)
    text: bytes = encode(b"\0" * offset + whole)
    return text[math.ceil(offset * 8 / 6) : (offset + len(whole)) * 8 // 6]


def find(place: Place, texts: Mapping[str, bytes]) -> list[str]:
    """Where the token is, and in which form."""
    known = forms(place)
    return [
        f"{where}: {name}"
        for where, text in texts.items()
        for name, form in known.items()
        if form in text
    ]


def files(*folders: Path) -> dict[str, bytes]:
    """Every file under some folders: names and contents."""
    found: dict[str, bytes] = {}
    for path in itertools.chain.from_iterable(folder.rglob("*") for folder in folders):
        if path.is_file():
            found[str(path)] = str(path).encode() + b"\n" + path.read_bytes()
    return found


@dataclass
class Watch:
    """Looks at every process of the machine, again and again, until the block ends.

    `argv` and `environ` hold what was ever seen, by command line.
    """

    argv: set[bytes] = field(default_factory=set)
    environ: dict[bytes, set[bytes]] = field(default_factory=dict)
    rounds: int = 0
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
        while not self._stop.is_set():
            self.rounds += 1
            for process in Path("/proc").glob("[0-9]*"):
                argv = _read(process / "cmdline")
                if not argv or process.name == mine:
                    continue
                self.argv.add(argv)
                environ = _read(process / "environ")
                if environ:
                    self.environ.setdefault(argv, set()).add(environ)
            self._stop.wait(0.002)


def holders(place: Place, watch: Watch) -> dict[str, set[str]]:
    """The commands that had the token in their environment, and in which variables."""
    found: dict[str, set[str]] = {}
    for argv, environs in watch.environ.items():
        for name, value in _variables(environs):
            if find(place, {"": value}):
                command = argv.replace(b"\0", b" ").decode(errors="replace")
                found.setdefault(command, set()).add(name)
    return found


def _variables(environs: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    for environ in environs:
        for entry in environ.split(b"\0"):
            name, _, value = entry.partition(b"=")
            yield name.decode(errors="replace"), value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
