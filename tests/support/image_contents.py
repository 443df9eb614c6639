"""What images hold, as BuildKit makes them: many in one session, none of them kept anywhere."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from integration.conftest import REMOTE, Builder

from feastflow_registry.builder import bake
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.services import SERVICE_PREFIX, Service, linked

FORM = "type=oci,tar=false,compression=uncompressed,force-compression=true"


@dataclass(frozen=True)
class Contents:
    """All that an image says and holds, but for times and who may enter a folder.

    BuildKit's cache takes two folders for the same whose modes differ, and gives either.
    """

    config: Mapping[str, Any]
    files: Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Wanted:
    """A service as it is in a folder, which is one state of a working copy."""

    folder: Path
    service: Service
    known: Mapping[str, Service]

    def image(self, word: str) -> BuildImage:
        """A build of it, beside builds of the same service in other folders."""
        own, *needs = (
            self._here(each, word) for each in (self.service, *linked(self.service, self.known))
        )
        return BuildImage(own, (), own.labels, needs=tuple(needs))

    def _here(self, service: Service, word: str) -> Service:
        named = tuple((key, self._place(value, word)) for key, value in service.contexts)
        context = str(self.folder / service.context)
        return replace(service, name=f"{service.name}-{word}", context=context, contexts=named)

    def _place(self, value: str, word: str) -> str:
        return f"{value}-{word}" if value.startswith(SERVICE_PREFIX) else str(self.folder / value)


def build(wanted: Sequence[Wanted], builder: Builder, home: Path) -> list[Contents | None]:
    """Build all of them; nothing, for each that cannot be built."""
    found = _session(wanted, builder, home / "all")
    if found is not None:
        return list(found)
    if len(wanted) == 1:
        return [None]
    parts = [_session([each], builder, home / str(at)) for at, each in enumerate(wanted)]
    return [part[0] if part else None for part in parts]


def difference(one: Contents | None, other: Contents | None) -> set[str]:
    """The files in which two images differ, and the parts of their configuration."""
    if one is None or other is None:
        return set() if one is other else {"(only one of them can be built)"}
    pairs = [(one.config, other.config), (one.files, other.files)]
    return {name for a, b in pairs for name in {*a, *b} if a.get(name) != b.get(name)}


def _session(wanted: Sequence[Wanted], builder: Builder, home: Path) -> list[Contents] | None:
    words = {folder: str(at) for at, folder in enumerate({each.folder: 0 for each in wanted})}
    images = [each.image(words[each.folder]) for each in wanted]
    places = {each.service.name: home / each.service.name for each in images}
    outputs = {name: f"{FORM},dest={place}" for name, place in places.items()}
    home.mkdir(parents=True)
    names = bake.target_names(images)
    command = ["docker", "buildx", "bake", "--builder", REMOTE, "--progress=quiet", "-f", "-"]
    done = subprocess.run(
        [*command, *(names[name] for name in places)],
        input=bake.definition(images, outputs, names),
        env={
            **builder.variables,
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            "BUILDX_GIT_INFO": "0",
            "BUILDX_BAKE_ENTITLEMENTS_FS": "0",
        },
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        assert "failed to solve" in done.stderr, done.stderr
        return None
    return [read(place) for place in places.values()]


def read(place: Path) -> Contents:
    """Read an image from its OCI layout.

    https://github.com/opencontainers/image-spec/blob/main/image-layout.md
    """
    (only,) = json.loads((place / "index.json").read_text())["manifests"]
    manifest = json.loads(_blob(place, only).read_bytes())
    config = json.loads(_blob(place, manifest["config"]).read_bytes())
    files: dict[str, tuple[Any, ...]] = {}
    for layer in manifest["layers"]:
        with tarfile.open(_blob(place, layer)) as archive:
            _lay(archive, files)
    return Contents({key: config.get(key) for key in ("architecture", "os", "config")}, files)


def _blob(place: Path, descriptor: Mapping[str, str]) -> Path:
    return place / "blobs" / descriptor["digest"].replace(":", "/")


def _lay(archive: tarfile.TarFile, files: dict[str, tuple[Any, ...]]) -> None:
    """Put a layer on what is below it; what these images are made of removes nothing."""
    for each in archive:
        name = each.name.rstrip("/")
        assert not Path(name).name.startswith(".wh.")
        if not each.isdir():
            for hidden in [one for one in files if one.startswith(f"{name}/")]:
                del files[hidden]
        content = archive.extractfile(each) if each.isreg() or each.islnk() else None
        kind = tarfile.REGTYPE if content else each.type
        link = each.linkname if each.issym() else ""
        mode = 0 if each.isdir() else each.mode
        files[name] = (kind, oct(mode), link, content.read() if content else b"")
