"""Each question goes to the registry of its repository, and to no other."""

from __future__ import annotations

import pytest
from support.memory import FakeRegistry, Store
from support.runs import B, image

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.references import Reference, RegistryHost, Repository, Tag
from feastflow_registry.registry.by_host import RegistriesByHost

HOSTS = (RegistryHost("docker.io"), RegistryHost("ghcr.io"))
TAG = Tag("latest")


@pytest.mark.parametrize("asked", HOSTS)
def test_a_question_goes_to_one(asked: RegistryHost) -> None:
    clients = {host: FakeRegistry(Store()) for host in HOSTS}
    repository = Repository.parse(asked, "team/shop")
    for client in clients.values():
        client.store.add(repository, image(B), TAG)
    registries = RegistriesByHost(clients.__getitem__, clients.values)
    reference, digest = Reference(repository, TAG), image(B).digest
    assert registries.resolve(reference) == digest
    registries.expect(reference, digest)
    registries.confirm(reference, digest)
    assert registries.inspect(repository, digest) == image(B)
    assert registries.size(repository, digest) == image(B).size
    assert registries.created(repository, digest) is None
    registries.set_tag(reference, digest)
    assert registries.tags(repository) == (TAG,)
    registries.check_push(repository)
    assert registries.pull_limit(reference) is None
    called = [each.method for each in clients[asked].calls]
    assert called == [
        *("resolve", "confirm", "inspect", "size", "created", "set_tag", "tags", "check_push")
    ]
    assert [len(client.calls) for host, client in clients.items() if host != asked] == [0]


def test_all_that_were_asked_catch_up() -> None:
    waited: list[FakeRegistry] = []

    class Late(FakeRegistry):
        def catch_up(self) -> None:
            waited.append(self)

    clients = [Late(Store()), Late(Store())]
    RegistriesByHost(lambda _: clients[0], lambda: clients).catch_up()
    assert waited == clients


def test_what_one_raises_is_raised() -> None:
    client = FakeRegistry(Store(readonly=True))
    with pytest.raises(Failure, match="denied pushing"):
        RegistriesByHost(lambda _: client, list).check_push(Repository(HOSTS[1], "a/b"))
