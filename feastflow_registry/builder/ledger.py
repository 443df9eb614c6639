"""The image IDs that the command ``build`` keeps for the command ``push``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.ports import BuiltImage
from feastflow_registry.model.references import Commit, Digest


@dataclass(frozen=True, slots=True)
class FileLedger:
    """The images of the last ``build``, in a file in ``.git``, which ``git status`` ignores."""

    folder: Path

    @property
    def _path(self) -> Path:
        return self.folder / "feastflow-registry.json"

    def write(self, commit: Commit, images: Mapping[str, BuiltImage]) -> None:
        """Replace the file, whole or not at all."""
        entries = {name: {"id": each.image_id, "size": each.size} for name, each in images.items()}
        draft = self._path.with_suffix(f".{os.getpid()}")
        try:
            draft.write_text(json.dumps({"commit": commit.sha, "images": entries}))
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)

    def read(self, commit: Commit) -> Mapping[str, BuiltImage]:
        """Read the images of a commit; none, if the file is missing or damaged."""
        try:
            content = json.loads(self._path.read_text())
            if content["commit"] != commit.sha:
                return {}
            return {
                name: BuiltImage(Digest.parse(each["id"]).value, size=int(each["size"]))
                for name, each in content["images"].items()
            }
        except (OSError, ValueError, LookupError, TypeError, AttributeError, Failure):
            return {}
