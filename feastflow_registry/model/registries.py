"""What is known of the registries that people use: the table of docs/registries.md, as values.

A registry is known by its host, or else by how it challenges whoever asks for ``/v2/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from feastflow_registry.model.references import RegistryHost


@dataclass(frozen=True, slots=True)
class RegistryKind:
    """A kind of registry.

    ``hosts``: a pattern of its hosts; ``challenge``: what its ``WWW-Authenticate`` holds, in lower
    case and without spaces; ``namespace``: what repositories stand under; ``names_alone``: whether
    there are repositories under nothing; ``before_push``: what has to be there before the first
    push, which else makes a repository (``None``: nobody knows); ``prune``: how it deletes;
    ``instead``: what does where the protocol of registries does not; ``habit``: what else there is
    to know.
    """

    name: str
    hosts: str = ""
    challenge: str = ""
    namespace: str = "the owner or project, such as feastflow"
    names_alone: bool = False
    before_push: str | None = ""
    prune: str = "deletes images if the user has that right"
    instead: str = ""
    habit: str = ""


_BEFORE = "the part before the repository's name, such as feastflow"
_SET_UP = "the repository in its settings"
KINDS = (
    RegistryKind(
        "Docker Hub",
        r"docker\.io",
        namespace="the user or organisation",
        prune="deletes tags by Hub's own API",
        habit="sometimes shows a new tag late: the program waits",
    ),
    RegistryKind(
        "GitHub",
        r"ghcr\.io",
        namespace="the owner",
        prune="deletes packages only by GitHub's own API",
        # https://github.com/dataaxiom/ghcr-cleanup-action#readme
        instead="Use actions/delete-package-versions, and do not delete untagged versions: they "
        "may be platforms or signatures of images that you keep.",
        habit="shows a new tag up to 5 s late: the program waits",
    ),
    RegistryKind(
        "Amazon ECR",
        r"\d+\.dkr\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?|public\.ecr\.aws",
        namespace=_BEFORE,
        names_alone=True,
        before_push="a repository (`aws ecr create-repository`)",
        prune="deletes only by Amazon's own API",
        instead="Use a lifecycle policy of the repository, or `aws ecr batch-delete-image`.",
    ),
    RegistryKind(
        "Azure",
        r".+\.azurecr\.io",
        namespace=_BEFORE,
        names_alone=True,
        prune="deletes whole images, with all their tags",
        instead="Use `az acr run --cmd 'acr purge …'`, or give a principal with AcrDelete.",
        habit="with geo-replication, sometimes shows a new tag late: the program waits",
    ),
    RegistryKind(
        "Google",
        r".+\.pkg\.dev|(?:.+\.)?gcr\.io",
        namespace="PROJECT/REPOSITORY",
        before_push="an Artifact Registry repository (`gcloud artifacts repositories create`)",
        # https://cloud.google.com/artifact-registry/docs/docker/manage-images
        prune="deletes tags if the user has that right, but not their images",
        instead="Use a cleanup policy of the repository.",
    ),
    RegistryKind(
        "GitLab",
        r"registry\.gitlab\.com",
        "/jwt/auth",
        namespace="the project's path",
        # https://gitlab.com/gitlab-org/container-registry/-/blob/master/docs/spec/docker/v2/api.md
        prune="deletes tags if the user has that right",
        instead="Use a cleanup policy of the project.",
    ),
    RegistryKind("Quay", r"quay\.io", "/v2/auth", namespace="the organisation"),
    RegistryKind(
        "Harbor", "", "/service/token", namespace="the project", before_push="the project"
    ),
    RegistryKind("Gitea or Forgejo", "", '/v2/token",service="container_registry"'),
    RegistryKind("Artifactory", "", "artifactory", names_alone=True, before_push=_SET_UP),
    RegistryKind("Nexus", "", "nexus", names_alone=True, before_push=_SET_UP),
)
GENERIC = RegistryKind("a registry", names_alone=True, before_push=None)
"""Any other one that speaks the distribution protocol."""


def kind_of(host: RegistryHost, challenge: str = "") -> RegistryKind:
    """What kind a registry is of, by its host, or by the challenge with which it answers."""
    name = host.name.partition(":")[0]
    for kind in KINDS:
        if kind.hosts and re.fullmatch(kind.hosts, name):
            return kind
    said = challenge.lower().replace(" ", "")
    return next((each for each in KINDS if each.challenge and each.challenge in said), GENERIC)
