"""Pushing small images by hand, as https://github.com/opencontainers/distribution-spec has it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import requests

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def put_blob(session: requests.Session, repository: str, data: bytes, **options: Any) -> str:
    """Push a blob in one PUT; the digest."""
    opened = session.post(f"{repository}/blobs/uploads/", timeout=300, **options)
    assert opened.status_code == 202, opened.text
    location, digest = opened.headers["Location"], digest_of(data)
    assert location.startswith(repository.partition("/v2/")[0])
    put = session.put(location, params={"digest": digest}, data=data, timeout=300, **options)
    assert put.status_code == 201, put.text
    return digest


def put_image(session: requests.Session, repository: str, tag: str, **options: Any) -> str:
    """Push a small image; the digest of its manifest."""
    config, layer = b'{"architecture":"amd64","os":"linux"}', b"a layer"
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(CONFIG, config),
        "layers": [_descriptor(LAYER, layer)],
    }
    for data in (config, layer):
        put_blob(session, repository, data, **options)
    body = json.dumps(manifest).encode()
    headers = {"Content-Type": MANIFEST, **options.pop("headers", {})}
    url = f"{repository}/manifests/{tag}"
    answer = session.put(url, data=body, headers=headers, timeout=300, **options)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Docker-Content-Digest"] == digest_of(body)
    return digest_of(body)


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}
