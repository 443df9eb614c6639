"""Each question goes to the registry of its repository, and to no other."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.ports import Registry
from feastflow_registry.model.references import Reference, RegistryHost, Repository, Tag
from feastflow_registry.registry.by_host import RegistriesByHost

HOSTS = (RegistryHost("docker.io"), RegistryHost("ghcr.io"))
QUESTIONS = [name for name in vars(Registry) if not name.startswith("_") and name != "catch_up"]


@dataclass
class Recorder:
    """A registry that takes note of whatever it is asked, and answers with itself."""

    asked: list[tuple[object, ...]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., object]:
        def answer(*given: object) -> object:
            self.asked.append((name, *given))
            return self

        return answer


def by_host(clients: dict[RegistryHost, Recorder]) -> Any:
    of = cast("Callable[[RegistryHost], Registry]", clients.__getitem__)
    return RegistriesByHost(of, lambda: cast("list[Registry]", [*clients.values()]))


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_goes_to_one(question: str, host: RegistryHost) -> None:
    clients = {each: Recorder() for each in HOSTS}
    repository = Repository.parse(host, "team/shop")
    where = {"repository": repository, "reference": Reference(repository, Tag("latest"))}
    _, *names = inspect.signature(getattr(Registry, question)).parameters
    given = [where.get(name, name) for name in names]
    answer = getattr(by_host(clients), question)(*given)
    assert clients[host].asked == [(question, *given)]
    assert [each.asked for each in clients.values() if each is not clients[host]] == [[]]
    gives = inspect.signature(getattr(Registry, question)).return_annotation != "None"
    assert answer is (clients[host] if gives else None)


def test_all_that_were_asked_catch_up() -> None:
    clients = {each: Recorder() for each in HOSTS}
    by_host(clients).catch_up()
    assert [each.asked for each in clients.values()] == [[("catch_up",)]] * 2


def test_what_one_raises_is_raised() -> None:
    def refuse(_: RegistryHost) -> Registry:
        raise Failure(Kind.REFUSED, "no.", "Ask again.")

    with pytest.raises(Failure, match=r"no\."):
        RegistriesByHost(refuse, list).check_push(Repository(HOSTS[1], "a/b"))
