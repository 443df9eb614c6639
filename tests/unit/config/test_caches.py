"""Which caches a build has, and which of them nobody may name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support.failures import fails
from support.runs import SHOP, service

from feastflow_registry.config import caches
from feastflow_registry.config.settings import parse
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.services import Service

REF = "type=registry,ref=docker.io/ada/shop"
NEVER_FAILS = "ignore-error=true"


class TestWhatABuildHas:
    @pytest.mark.parametrize(
        ("given", "sources", "targets"),
        [
            ({}, [], []),
            ({"cache": "none"}, [], []),
            ({"cache": "registry"}, [f"{REF}:buildcache"], [f"{REF}:buildcache,mode=max"]),
            ({"cache": "inline"}, [f"{REF}:latest"], ["type=inline"]),
            (
                {"cache": "inline", "milestone": "sprint3"},
                [f"{REF}:latest", f"{REF}:sprint3"],
                ["type=inline"],
            ),
            (
                {"cache": "inline", "latest": "never", "milestone": "sprint3"},
                [f"{REF}:sprint3"],
                ["type=inline"],
            ),
            ({"cache": "inline", "latest": "never"}, [], ["type=inline"]),
            (
                {"cache": "type=local,dest=.cache/{service}"},
                ["type=local,src=.cache/shop"],
                ["type=local,dest=.cache/shop"],
            ),
            (
                {"cache": "type=local,src=.cache"},
                ["type=local,src=.cache"],
                ["type=local,dest=.cache"],
            ),
            (
                {"cache": "type=gha,scope={service}"},
                ["type=gha,scope=shop,timeout=1m"],
                ["type=gha,scope=shop,timeout=1m"],
            ),
            (
                {"cache": "type=gha,timeout=5m"},
                ["type=gha,timeout=5m,scope=shop"],
                ["type=gha,timeout=5m,scope=shop"],
            ),
            (
                {"cache": "gha"},
                ["type=gha,scope=shop,timeout=1m"],
                ["type=gha,scope=shop,mode=max,timeout=1m"],
            ),
            ({"cache_from": "a/{service}:x"}, ["type=registry,ref=a/shop:x"], []),
            (
                {"cache_from": "a/b\ntype=gha", "cache_to": "type=inline\ntype=local,dest=x"},
                ["type=registry,ref=a/b", "type=gha,scope=shop,timeout=1m"],
                ["type=inline", "type=local,dest=x"],
            ),
        ],
    )
    def test_by_the_settings(
        self, given: dict[str, str], sources: list[str], targets: list[str]
    ) -> None:
        found = caches.of_service(parse(given), SHOP)
        assert list(found.sources) == sources
        harmless = [each if each == "type=inline" else f"{each},{NEVER_FAILS}" for each in targets]
        assert list(found.targets) == harmless

    def test_at_github_by_the_platform(self) -> None:
        arm = replace(SHOP, platforms=("linux/arm/v7",))
        scopes = ["scope=shop-linux-arm-v7", "scope=shop"]
        found = caches.of_service(parse({"cache": "gha"}), arm)
        assert [each.split(",")[1] for each in found.sources] == scopes
        assert [each.split(",")[1] for each in found.targets] == scopes[:1]

    @pytest.mark.parametrize(
        ("platforms", "tags"),
        [
            (("linux/arm64",), ["buildcache-linux-arm64", "buildcache"]),
            (("linux/arm/v7",), ["buildcache-linux-arm-v7", "buildcache"]),
            (("linux/amd64", "linux/arm64"), ["buildcache"]),
        ],
    )
    def test_on_the_registry_by_the_platform(
        self, platforms: tuple[str, ...], tags: list[str]
    ) -> None:
        of = replace(SHOP, platforms=platforms)
        found = caches.of_service(parse({"cache": "registry"}), of)
        assert list(found.sources) == [f"{REF}:{each}" for each in tags]
        assert found.targets == (f"{REF}:{tags[0]},mode=max,{NEVER_FAILS}",)

    def test_a_failure_may_be_asked_for(self) -> None:
        spec = "type=local,dest=x,ignore-error=false"
        assert caches.of_service(parse({"cache_to": spec}), SHOP).targets == (spec,)

    def test_plain_http_where_an_input_allows_it(self) -> None:
        settings = parse({"cache": "registry", "insecure_registries": "r:5000"})
        host = RegistryHost("r:5000", insecure=True)
        of = replace(SHOP, repository=Repository(host, "ada/shop"))
        plain = "type=registry,ref=r:5000/ada/shop:buildcache,registry.insecure=true"
        found = caches.of_service(settings, of)
        assert found == ((plain,), (f"{plain.replace(',reg', ',mode=max,reg')},{NEVER_FAILS}",))
        for spec in (plain, "type=registry,ref=other:5000/a", "type=local,src=r:5000"):
            given = parse({"cache_from": spec, "insecure_registries": "r:5000"})
            assert caches.of_service(given, SHOP).sources == (spec,)

    @pytest.mark.parametrize("given", [{"cache": "none"}, {"cache_from": ""}, {"cache_to": "a/b"}])
    def test_those_of_a_compose_file_where_no_setting_says_otherwise(
        self, given: dict[str, str]
    ) -> None:
        of = replace(
            SHOP, cache_sources=("type=registry,ref=a/b",), cache_targets=("type=local,dest=x",)
        )
        found = caches.of_service(parse(given), of)
        if any(given.values()):
            assert not found.sources
        else:
            assert found == (("type=registry,ref=a/b",), (f"type=local,dest=x,{NEVER_FAILS}",))


class TestWhatIsWrong:
    @staticmethod
    def problems(*services: Service, of_files: Any = None, **given: Any) -> list[str]:
        found = caches.check(
            services or (SHOP,),
            parse(given),
            lambda name, key: f"{name}.{key}",
            of_files or {},
            lambda path: not path.startswith(("/", "..")),
        )
        return [str(each) for each in found]

    @pytest.mark.parametrize("cache", ["none", "registry", "inline", "gha", "type=gha"])
    def test_what_services_do_not_share(self, cache: str) -> None:
        assert self.problems(service("a"), service("b"), cache=cache) == []

    @pytest.mark.parametrize("name", ["cache", "cache_to"])
    def test_what_they_share(self, name: str) -> None:
        given = {name: "type=gha,scope=x"}
        assert self.problems(service("a"), **given) == []
        (problem,) = self.problems(service("a"), service("b"), service("c"), **given)
        assert problem.startswith(f'input "{name.replace("_", "-")}": the services would overwrite')
        assert "Put {service} into it" in problem
        assert self.problems(service("a"), service("b"), cache_from="a/b") == []

    @pytest.mark.parametrize("other", ["cache_from", "cache_to"])
    def test_two_ways_of_saying_it(self, other: str) -> None:
        given = {other: "a/b:buildcache"}
        word = other.replace("_", "-")
        (problem,) = self.problems(cache="registry", **given)
        assert problem.startswith('input "cache": it says where the cache is, and so does')
        assert f'so does the input "{word}"' in problem
        (problem,) = self.problems(cache="registry", of_files={"cache": "f, line 1"}, **given)
        assert problem.startswith("f, line 1: it says")
        assert self.problems(cache="none", **given) == []

    @pytest.mark.parametrize(
        ("spec", "refused"),
        [
            ("type=registry,ref=docker.io/ada/shop:latest", True),
            ("ada/shop", True),
            ("index.docker.io/ada/shop:1", True),
            ("ada/shop:buildcachex@sha256:" + "0" * 64, True),
            ("docker.io/ada/b:commit-1", True),
            ("ada/shop:buildcache", False),
            ("ada/shop:buildcache-mine", False),
            ("ada/cache:latest", False),
            ("r:5000/ada/shop:latest", False),
            ("type=local,dest=ada/shop", False),
        ],
    )
    def test_layers_that_take_the_name_of_an_image(self, spec: str, refused: bool) -> None:
        found = self.problems(
            SHOP, service("b"), cache_to=f"{spec}", cache_from=spec.replace("dest", "src")
        )
        found = [each for each in found if "overwrite" not in each]
        assert len(found) == refused
        assert all("Call them buildcache, or buildcache-NAME" in each for each in found)

    @pytest.mark.parametrize(
        ("spec", "word"),
        [
            ("type=s3,region=x,bucket=y,endpoint_url=https://x", "type=s3"),
            ("type=azblob,account_url=x", "type=azblob"),
            ("type=gha,url=https://x", "url"),
            ("type=gha,token=x", "token"),
            ("type=registry,ref=a/b:buildcache,registry.insecure=true", "registry.insecure"),
            ("type=registry,ref=a/b,registry.insecure=true,mode=max", "registry.insecure"),
            ("type=gha,scope=x", ""),
            ("type=registry,ref=r:5000/b,registry.insecure=true", ""),
            ("type=local,dest=x,mode=max", ""),
        ],
    )
    def test_what_a_file_may_not_choose(self, spec: str, word: str) -> None:
        own = replace(SHOP, cache_targets=(spec,))
        allowed = {"insecure_registries": "r:5000"}
        assert self.problems(cache_to=spec, **allowed) == []
        of_compose = self.problems(own, **allowed)
        of_policy = self.problems(cache_to=spec, of_files={"cache_to": "f, line 2"}, **allowed)
        if not word:
            assert of_compose == of_policy == []
            return
        said = f'a file may not choose {word} for a cache. Name this cache in the input "cache-to".'
        assert of_compose == [f"shop.cache_to: {said}"]
        assert of_policy == [f"f, line 2: {said}"]
        assert self.problems(own, cache="none") == [], "nobody uses it"

    @pytest.mark.parametrize("path", ["../x", "/x", "x"])
    def test_a_folder_outside(self, path: str) -> None:
        for key, spec in (
            ("cache_from", f"type=local,src={path}"),
            ("cache_to", f"type=local,dest={path}"),
        ):
            field = "cache_sources" if key == "cache_from" else "cache_targets"
            words: dict[str, Any] = {field: (spec,)}
            found = self.problems(replace(SHOP, **words))
            assert len(found) == (path != "x")
            assert all(each.startswith(f"shop.{key}: '{path}' lies outside") for each in found)
            assert len(self.problems(**{key: spec})) == (path == "../x")


class TestGitHub:
    """What is needed to reach GitHub's cache, and what is left of a run that does not."""

    def test_how_it_is_reached(self) -> None:
        given = {"ACTIONS_RUNTIME_TOKEN": "t", "ACTIONS_RESULTS_URL": "https://x/", "PATH": "/evil"}
        assert caches.read_service(json.dumps(given)) == {
            "ACTIONS_RUNTIME_TOKEN": "t",
            "ACTIONS_RESULTS_URL": "https://x/",
        }
        assert caches.read_service("") == {}

    @pytest.mark.parametrize(
        "text",
        ["x", "[]", "{}", "null", '{"ACTIONS_RUNTIME_TOKEN": 1}', "[" * 100_000, "eyJ0eXAi.e30.x"],
    )
    def test_what_is_none(self, text: str) -> None:
        with fails('input "cache-token"', "a step that uses feastflow/registry-action/cache"):
            caches.read_service(text)

    def test_without_it(self) -> None:
        mine = "type=gha,token=mine,url=https://x"
        specs = {"cache_from": f"type=gha\na/b\n{mine}", "cache_to": "type=gha,mode=max"}
        left = caches.without_github(parse(specs))
        assert left.cache_from == ("type=registry,ref=a/b", mine)
        assert left.cache_to == ()
        for each in ("gha", "type=gha,scope=x"):
            assert caches.without_github(parse({"cache": each})).cache == ""
        assert caches.without_github(parse({"cache": "inline"})).cache == "inline"

    def test_without_it_the_other_caches_of_a_compose_file_still_count(self) -> None:
        specs = ("type=gha", "type=registry,ref=a/b")
        shop = replace(SHOP, cache_sources=specs, cache_targets=specs)
        left = caches.without_github_of(shop)
        assert left.cache_sources == left.cache_targets == specs[1:]
        settings = caches.without_github(parse({}))
        assert caches.of_service(settings, left).sources == specs[1:]
