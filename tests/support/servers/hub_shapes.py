"""The JSON of Docker Hub's API for what is in a registry's files.

`repository_info`, `tag` and `image` of https://docs.docker.com/reference/api/hub/latest.yaml, and
what the service adds to a tag: `digest`, `media_type`, `content_type`, `tag_status`.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def utc(seconds: float) -> str:
    """A time as Docker Hub writes it: `2021-01-05T21:06:53.506400Z`."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Shapes:
    """What the registry whose files are at `storage` holds."""

    def __init__(self, storage: Path) -> None:
        self.root = storage / "docker/registry/v2"
        self.image = functools.lru_cache(maxsize=None)(self._image)

    def folder(self, repository: str, tag: str = "") -> Path:
        """Where the registry keeps a tag, or all of them."""
        return self.root / "repositories" / repository / "_manifests/tags" / tag

    def exists(self, repository: str) -> bool:
        """Whether anything was ever pushed there."""
        return self.folder(repository).parent.is_dir()

    def point(self, repository: str, digest: str, *tags: str) -> None:
        """Point tags at a digest, as a registry does: one push a tag would take its time."""
        for tag in tags:
            link = self.folder(repository, tag) / "current/link"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.write_text(digest)

    def names(self, repository: str) -> list[str]:
        """Every tag, in an order on which nobody should rely: Docker's reference names none."""
        try:
            with os.scandir(self.folder(repository)) as entries:
                return sorted(entry.name for entry in entries)
        except FileNotFoundError:
            return []

    def repository(
        self, name: str, *, private: bool, rules: Sequence[str] | None, admin: bool
    ) -> Json:
        """`repository_info`."""
        namespace, _, short = name.partition("/")
        at = utc(self.folder(name).parent.stat().st_mtime)
        return {
            "user": namespace,
            "name": short,
            "namespace": namespace,
            "repository_type": "image",
            "status": 1,
            "status_description": "active",
            "description": "",
            "is_private": private,
            "is_automated": False,
            "star_count": 0,
            "pull_count": 0,
            "last_updated": at,
            "last_modified": at,
            "date_registered": at,
            "collaborator_count": 0,
            "affiliation": None,
            "hub_user": namespace,
            "has_starred": False,
            "full_description": None,
            "permissions": {"read": True, "write": admin, "admin": admin},
            "media_types": [],
            "content_types": ["image"],
            "categories": [],
            "immutable_tags_settings": {"enabled": rules is not None, "rules": list(rules or ())},
            "storage_size": None,
            "source": None,
        }

    def tag(self, repository: str, name: str) -> Json | None:
        """`tag`; nothing, if it is not there."""
        link = self.folder(repository, name) / "current/link"
        try:
            digest, at = link.read_text(), utc(link.stat().st_mtime)
        except FileNotFoundError:
            return None
        media_type, images = self.image(digest)
        return {
            "creator": 1,
            "id": 1,
            "images": [{**each, "last_pulled": None, "last_pushed": at} for each in images],
            "last_updated": at,
            "last_updater": 1,
            "last_updater_username": repository.partition("/")[0],
            "name": name,
            "repository": 1,
            "full_size": images[0]["size"] if images else 0,
            "v2": True,
            "tag_status": "active",
            "tag_last_pulled": None,
            "tag_last_pushed": at,
            "media_type": media_type,
            "content_type": "image",
            "digest": digest,
        }

    def _image(self, digest: str) -> tuple[str, list[Json]]:
        """The media type of a manifest, and its `images`: one, or those of an index."""
        manifest = self._blob(digest)
        if "manifests" not in manifest:
            return manifest["mediaType"], [self._platform(digest, manifest, {})]
        found = [
            self._platform(each["digest"], self._blob(each["digest"]), each)
            for each in manifest["manifests"]
        ]
        return manifest["mediaType"], found

    def _platform(self, digest: str, manifest: Json, entry: Json) -> Json:
        platform = entry.get("platform") or self._blob(manifest["config"]["digest"])
        if "annotations" in entry:
            platform = {"architecture": "unknown", "os": "unknown"}
        return {
            "architecture": platform.get("architecture", ""),
            "features": "",
            "variant": platform.get("variant"),
            "digest": digest,
            "os": platform.get("os", ""),
            "os_features": "",
            "os_version": None,
            "size": sum(layer["size"] for layer in manifest["layers"]),
            "status": "active",
        }

    def _blob(self, digest: str) -> Json:
        algorithm, _, digits = digest.partition(":")
        data: Json = json.loads(
            (self.root / "blobs" / algorithm / digits[:2] / digits / "data").read_bytes()
        )
        return data
