"""The table of registries, and that docs/registries.md says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from feastflow_registry.model import registries
from feastflow_registry.model.references import RegistryHost
from feastflow_registry.model.registries import GENERIC, RegistryKind, kind_of

PAGE = Path(__file__).parents[3] / "docs/registries.md"


@pytest.mark.parametrize(
    ("host", "challenge", "name"),
    [
        ("docker.io", "", "Docker Hub"),
        ("ghcr.io", "", "GitHub"),
        ("1.dkr.ecr.eu-west-1.amazonaws.com", 'Basic realm="x"', "Amazon ECR"),
        ("shop.azurecr.io", "", "Azure"),
        ("europe-docker.pkg.dev", "", "Google"),
        ("eu.gcr.io", "", "Google"),
        ("quay.io:443", "", "Quay"),
        ("registry.gitlab.com", "", "GitLab"),
        ("git.example.com", 'Bearer realm="https://git.example.com/jwt/auth"', "GitLab"),
        ("quay.example.com", 'Bearer realm="https://quay.example.com/v2/auth"', "Quay"),
        ("hub.example.com", 'Bearer realm="https://hub.example.com/service/token"', "Harbor"),
        (
            "git.example.com",
            'Bearer realm="https://x/v2/token", service="container_registry", scope="*"',
            "Gitea or Forgejo",
        ),
        ("r.example.com", 'Basic realm="Artifactory Realm"', "Artifactory"),
        ("r.example.com", 'BASIC realm="Sonatype Nexus Repository Manager"', "Nexus"),
        ("r.example.com", 'Bearer realm="https://auth.example.com/token"', "a registry"),
        ("ghcr.io.example.com", "", "a registry"),
        ("myghcr.io", "", "a registry"),
        ("ec2-1-2-3-4.compute.amazonaws.com:5000", "", "a registry"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "", "Amazon ECR"),
        ("localhost:5000", "", "a registry"),
    ],
)
def test_which_kind_a_registry_is_of(host: str, challenge: str, name: str) -> None:
    assert kind_of(RegistryHost.parse(host), challenge).name == name


def row(kind: RegistryKind) -> str:
    """What the page says of a kind."""
    named = re.compile(rf"^\| {re.escape(kind.name.replace(' or ', ', '))}\b.*$", re.MULTILINE)
    [found] = named.findall(PAGE.read_text())
    return str(found)


@pytest.mark.parametrize("kind", registries.KINDS, ids=lambda each: each.name)
def test_the_page_says_the_same(kind: RegistryKind) -> None:
    said = row(kind)
    for words in (kind.habit, kind.namespace, kind.prune, kind.instead):
        assert words in said
    assert ("or `/` |" in said) is kind.names_alone
    assert ("before the first push" in said) is bool(kind.before_push)
    assert kind.before_push is not None
    assert kind.before_push in said


def test_of_any_other_nothing_is_said() -> None:
    assert GENERIC not in registries.KINDS
    assert (GENERIC.before_push, GENERIC.habit) == (None, "")
