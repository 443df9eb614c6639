"""Deleting on OCI registries: one that deletes by digest, one by tag, and one that does neither."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from conftest import Stack
from support.clients import quick_client
from support.docker_hub import fails, tags
from support.fault_scenes import KINDS
from support.registries import find_registry
from support.servers import images
from support.servers.fault_proxy import Fault, FaultProxy
from support.servers.registry import Registry
from support.servers.token_server import TokenServer
from support.servers.untagging import Untagging

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Kind
from feastflow_registry.model.images import Deleted
from feastflow_registry.model.references import Digest, Reference, RegistryHost, Repository, Tag
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.registry.delete import RegistryDeletion

INDEX = "application/vnd.oci.image.index.v1+json"
USERS = {"ada": "s3cret", "bob": "hunter2"}
GRANTS = {"ada": {"*": {"pull", "push", "delete"}}, "bob": {"*": {"pull", "push"}}}
NOWHERE = Digest("sha256:" + "0" * 64)
ONE, TWO, OLD = tags("one", "two", "old")


@dataclass
class Shop:
    """One repository on a registry, reached through a proxy, and a deletion for it."""

    url: str
    proxy: FaultProxy
    deletion: RegistryDeletion
    repository: Repository

    def put(self, tag: str, layer: str, **options: Any) -> Digest:
        """An image of its own by its configuration, under a tag."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "variant": layer}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": images.MANIFEST,
            "config": descriptor(images.CONFIG, config),
            "layers": [],
        }
        with session() as client:
            images.put_blob(client, self.url, config, **options)
        return self.write(tag, images.MANIFEST, manifest, **options)

    def put_index(self, tag: str, *entries: dict[str, Any]) -> Digest:
        """An index of manifests that are there."""
        content = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}
        return self.write(tag, INDEX, content)

    def write(self, tag: str, kind: str, content: object, **options: Any) -> Digest:
        data = json.dumps(content).encode()
        headers = {"Content-Type": kind, **options.get("headers", {})}
        with session() as client:
            url = f"{self.url}/manifests/{tag}"
            answer = client.put(url, data=data, timeout=20, headers=headers)
        assert answer.status_code == 201, answer.text
        return Digest.parse(images.digest_of(data))

    def resolve(self, target: Tag | Digest) -> Digest | None:
        return self.deletion.registry.resolve(Reference(self.repository, target))


def session() -> requests.Session:
    client = requests.Session()
    client.trust_env = False
    return client


def descriptor(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": images.digest_of(data), "size": len(data)}


def entry(digest: Digest, kind: str = images.MANIFEST, **more: Any) -> dict[str, Any]:
    return {"mediaType": kind, "digest": str(digest), "size": 1, **more}


def shop(registry: Registry, proxy: FaultProxy, name: str, user: str = "") -> Shop:
    http = quick_client(timeout=(2, 2))
    host = RegistryHost.parse(f"127.0.0.1:{proxy.port}")
    repository = Repository.parse(host, f"team/{name}")
    credential = Credential(user, USERS[user]) if user else None
    auth = Authenticator(http, host, credential, [repository], True, delete=True)
    url = f"{registry.url}/v2/{repository.path}"
    return Shop(url, proxy, RegistryDeletion(RegistryClient(http, auth)), repository)


@pytest.fixture(scope="module")
def program(stack: Stack) -> str | None:
    return find_registry(stack.variables()["PATH"])


@pytest.fixture(scope="module")
def registry(program: str | None) -> Iterator[Registry]:
    """distribution 2.8 with REGISTRY_STORAGE_DELETE_ENABLED."""
    with Registry(binary=program) as registry:
        yield registry


@pytest.fixture
def open_shop(registry: Registry, request: pytest.FixtureRequest) -> Iterator[Callable[..., Shop]]:
    """A repository that nobody has used, on a registry that deletes by digest, or by tag."""
    with ExitStack() as stack:

        def give(*, by_tag: bool = False) -> Shop:
            proxy = Untagging(registry) if by_tag else FaultProxy(registry.url)
            name = f"shop{abs(hash(request.node.name))}"
            return shop(registry, stack.enter_context(proxy), name)

        yield give


class TestByDigest:
    def test_a_tag_is_not_deleted_by_its_name(self, open_shop: Callable[..., Shop]) -> None:
        here = open_shop()
        digest = here.put("one", "1")
        for tag in (ONE, TWO):
            assert here.deletion.delete_tag(here.repository, tag) is Deleted.UNSUPPORTED
        assert here.resolve(ONE) == digest

    def test_every_tag_on_it_goes_along(self, open_shop: Callable[..., Shop]) -> None:
        here = open_shop()
        digest, other = here.put("one", "1"), here.put("two", "2")
        assert here.put("old", "1") == digest
        delete = here.deletion.delete_manifest
        assert delete(here.repository, digest) is Deleted.DONE
        assert [here.resolve(each) for each in (ONE, OLD, TWO)] == [None, None, other]
        assert here.resolve(digest) is None
        assert delete(here.repository, digest) is Deleted.GONE
        assert delete(here.repository, NOWHERE) is Deleted.GONE

    @pytest.mark.parametrize("name", KINDS)
    def test_one_bad_moment_is_survived(self, open_shop: Callable[..., Shop], name: str) -> None:
        here = open_shop()
        digest = here.put("one", "1")
        fault = Fault(method="DELETE", **KINDS[name])
        here.proxy.add(fault)
        done = here.deletion.delete_manifest(here.repository, digest)
        assert done is (Deleted.GONE if name == "reset_after" else Deleted.DONE)
        assert (here.resolve(ONE), fault.fired) == (None, 1)

    def test_an_answer_that_nobody_expects(self, open_shop: Callable[..., Shop]) -> None:
        here = open_shop()
        here.proxy.add(Fault("status", status=418, body=b'{"errors": [{"code": "TEAPOT"}]}'))
        with fails(Kind.UNREACHABLE, "418", "TEAPOT", "run again"):
            here.deletion.delete_manifest(here.repository, NOWHERE)


class TestByTag:
    def test_takes_the_tag_alone(self, open_shop: Callable[..., Shop]) -> None:
        here = open_shop(by_tag=True)
        digest = here.put("one", "1")
        here.put("two", "1")
        assert here.deletion.delete_tag(here.repository, ONE) is Deleted.DONE
        assert [here.resolve(each) for each in (ONE, TWO, digest)] == [None, digest, digest]
        assert here.deletion.delete_tag(here.repository, ONE) is Deleted.GONE
        assert here.deletion.delete_manifest(here.repository, digest) is Deleted.DONE
        assert here.resolve(TWO) is None

    @pytest.mark.parametrize("name", ["..", "../../x", "a/b", "a?b", "", "é"])
    def test_a_name_that_is_none_is_never_sent(
        self, open_shop: Callable[..., Shop], name: str
    ) -> None:
        here = open_shop(by_tag=True)
        with fails(Kind.INPUT, "not a valid image tag"):
            here.deletion.delete_tag(here.repository, Tag(name))
        with fails(Kind.INPUT, "not a digest"):
            here.deletion.delete_manifest(here.repository, Digest(name))
        assert here.proxy.requests == ()


class TestRights:
    def test_a_registry_that_does_not_delete(self, program: str | None) -> None:
        with Registry(binary=program, delete=False) as registry, FaultProxy(registry.url) as proxy:
            here = shop(registry, proxy, "kept")
            digest = here.put("one", "1")
            assert here.deletion.delete_tag(here.repository, ONE) is Deleted.UNSUPPORTED
            with fails(Kind.REFUSED, "UNSUPPORTED", "REGISTRY_STORAGE_DELETE_ENABLED=true"):
                here.deletion.delete_manifest(here.repository, digest)
            assert here.resolve(ONE) == digest

    def test_the_token_is_asked_for_deletion(self, program: str | None) -> None:
        with (
            TokenServer(USERS, GRANTS) as tokens,
            Registry(binary=program, token_server=tokens) as registry,
            FaultProxy(registry.url) as proxy,
        ):
            ours, theirs = (shop(registry, proxy, "app", user) for user in USERS)
            token = tokens.sign("ada", ["repository:team/app:pull,push"])
            options = {"headers": {"Authorization": f"Bearer {token}"}}
            digest = ours.put("one", "1", **options)
            with fails(Kind.REFUSED, "denied the deletion", "right to delete"):
                theirs.deletion.delete_manifest(ours.repository, digest)
            assert ours.resolve(ONE) == digest
            delete = ours.deletion.delete_manifest
            assert delete(ours.repository, digest) is Deleted.DONE
            assert tokens.issued[-1].asked == ("repository:team/app:pull,push,delete",)
            assert ours.resolve(ONE) is None


class TestChildren:
    def test_of_an_index_and_what_it_lists_in_turn(self, open_shop: Callable[..., Shop]) -> None:
        here = open_shop()
        first, second, third = (here.put(each, each) for each in "abc")
        note: dict[str, Any] = {
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"}
        }
        inner = here.put_index("inner", entry(second), entry(third, **note))
        outer = here.put_index("outer", entry(first), entry(inner, INDEX), entry(inner, INDEX))
        children = here.deletion.children
        assert children(here.repository, outer) == {first, inner, second, third}
        assert children(here.repository, first) == frozenset()
        before = len(here.proxy.requests)
        assert len(children(here.repository, outer)) == 4
        assert len(here.proxy.requests) == before

    def test_a_manifest_that_is_not_there(self, open_shop: Callable[..., Shop]) -> None:
        here = open_shop()
        here.put("one", "1")
        with fails(Kind.UNVERIFIED, "not on the registry"):
            here.deletion.children(here.repository, NOWHERE)
