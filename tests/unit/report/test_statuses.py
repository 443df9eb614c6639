from __future__ import annotations

import pytest
from support.runs import SHOP, B, image

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.plan import Action
from feastflow_registry.model.ports import Status
from feastflow_registry.model.references import Reference, RegistryHost, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.report import results
from feastflow_registry.report.results import Result

OWN, LATEST = Tag("commit-000000b"), Tag("latest")
DIGEST = image(B).digest
RUN = "https://github.com/feastflow/shop/actions/runs/1"


def result(service: Service = SHOP, *tags: Tag, action: Action = Action.BUILT) -> Result:
    references = tuple(Reference(service.repository, each) for each in tags)
    return Result(service, action, DIGEST, references, 1, 1.0)


@pytest.mark.parametrize("action", [Action.BUILT, Action.REUSED, Action.CARRIED])
def test_an_image_that_the_commits_tag_holds_gets_a_status(action: Action) -> None:
    found = results.statuses([result(SHOP, LATEST, OWN, action=action)], OWN, RUN)
    assert found == (
        Status(
            "registry/shop",
            f"shop:commit-000000b sha256:{DIGEST.short}",
            "https://hub.docker.com/r/ada/shop/tags?name=commit-000000b",
        ),
    )


def test_where_a_registry_has_no_pages_it_leads_to_the_run() -> None:
    elsewhere = Service("shop", Repository(RegistryHost("registry.example.com"), "team/shop"))
    [found] = results.statuses([result(elsewhere, OWN)], OWN, RUN)
    assert found.url == RUN


def test_what_is_not_published_under_it_gets_none() -> None:
    unpublished = Result(SHOP, None, None, (Reference(SHOP.repository, OWN),), 0, 0.0)
    assert results.statuses([result(SHOP, LATEST), result(), unpublished], OWN, RUN) == ()


def test_one_that_not_every_registry_has_is_red_and_names_them() -> None:
    hosts = ["ghcr.io", "quay.io"]
    lacking = [Service("shop", Repository(RegistryHost(each), "team/shop")) for each in hosts]
    menu = Service("menu", Repository(RegistryHost("docker.io"), "ada/menu"))
    found = results.statuses([result(SHOP, OWN), result(menu, OWN)], OWN, RUN, lacking)
    assert [each.is_whole for each in found] == [False, True]
    assert found[0].description.endswith(f":{DIGEST.short}, not proven on ghcr.io, quay.io")
    assert "proven" not in found[1].description


def test_no_description_is_longer_than_github_takes() -> None:
    long = Service("shop", Repository(RegistryHost("docker.io"), f"ada/{'x' * 250}"))
    [found] = results.statuses([result(long, OWN)], OWN, RUN)
    assert len(found.description) == 140
    assert found.description.endswith(f"xxx:commit-000000b sha256:{DIGEST.short}")
    elsewhere = Service("shop", Repository(RegistryHost(f"{'x' * 150}.io"), "shop"))
    [found] = results.statuses([result(long, OWN)], OWN, RUN, [elsewhere])
    assert len(found.description) == 140
    assert found.description.startswith(f":commit-000000b sha256:{DIGEST.short}, not proven on xxx")


def test_that_there_is_none_is_said_with_the_reason_and_the_fix() -> None:
    assert results.no_status(Failure(Kind.REFUSED, "GitHub says no.", "Ask.")) == (
        "No commit status says what is published: GitHub says no. Ask."
    )
