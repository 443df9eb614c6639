"""What every user of the Docker SDK shares: its errors, and an image's name in the engine."""

from __future__ import annotations

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import Reference

ENGINE_ERRORS = (DockerException, requests.exceptions.RequestException)


def tag_image(client: docker.DockerClient, image_id: str, reference: Reference) -> None:
    """Give an image that is in the engine a name, whatever had that name before."""
    try:
        image = client.images.get(image_id)
    except ImageNotFound:
        raise Failure(
            Kind.BUILD,
            f"the image {image_id[:19]} is no longer in the engine.",
            "Build it again.",
        ) from None
    image.tag(str(reference.repository), reference.identifier)
