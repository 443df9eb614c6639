"""Sixty services in one run: what their tokens list fits into the headers that servers take."""

from __future__ import annotations

import pytest
from support.clients import quick_client
from support.registries import USER, LocalRegistry
from support.servers.habits import Habit, ShortHeaders
from support.servers.token_habits import FirstScope, NoDelete, OneScope
from support.soak import chosen

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.references import Reference, RegistryHost, Repository, Tag
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.registry.client import RegistryClient

KILOBYTES_4 = 4096


def reach_all(place: LocalRegistry, names: list[str], *, delete: bool) -> int:
    """Ask about each repository, as a run does; the tokens that it took."""
    host, http = RegistryHost.parse(place.host), quick_client()
    repositories = [Repository.parse(host, name) for name in names]
    credential = Credential(USER, place.token)
    auth = Authenticator(http, host, credential, repositories, True, delete=delete)
    registry = RegistryClient(http, auth)
    for _ in range(2):
        for each in repositories:
            assert registry.resolve(Reference(each, Tag("latest"))) is None
            if not delete:
                registry.check_push(each)
    assert place.tokens
    return len(place.tokens.issued)


@pytest.mark.parametrize("place", ["token"], indirect=True)
@pytest.mark.parametrize("delete", chosen([False, True]))
@pytest.mark.parametrize(
    ("length", "tokens"),
    chosen([(120, 10), (20, 5), (60, 7), (250, 20)]),
    ids=["120", "20", "60", "250"],
)
def test_the_headers_of_sixty_repositories_stay_short(
    place: LocalRegistry, length: int, tokens: int, delete: bool
) -> None:
    place.proxy.habits = [ShortHeaders(KILOBYTES_4)]
    names = [f"shop/{'x' * (length - 8)}-{number:02}" for number in range(60)]
    assert reach_all(place, names, delete=delete) <= tokens


@pytest.mark.parametrize("place", ["token"], indirect=True)
@pytest.mark.parametrize("habit", chosen([FirstScope(), OneScope(), NoDelete()]))
def test_a_token_server_with_habits_is_asked_once_a_repository(
    place: LocalRegistry, habit: Habit
) -> None:
    place.realm.habits = [habit]
    names = [f"shop/app-{number:02}" for number in range(15)]
    assert reach_all(place, names, delete=isinstance(habit, NoDelete)) <= 15 + 5
