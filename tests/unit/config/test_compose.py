from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.failures import fails

from feastflow_registry.config import compose, settings
from feastflow_registry.config.compose import from_bake
from feastflow_registry.config.compose_files import CARRIED, DEFAULT_PLATFORM
from feastflow_registry.model.ports import Printed
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.services import Annotation, BuildOptions, Secret, Service, select

HUB = RegistryHost("docker.io")


def definition_of(targets: Mapping[str, Any]) -> str:
    return json.dumps({"group": {"default": {"targets": list(targets)}}, "target": targets})


def definition(**targets: Mapping[str, Any]) -> str:
    return definition_of(targets)


def printed(text: str, errors: str = "", code: int = 0) -> Printed:
    return Printed(code, text, errors, "/repository")


def built(text: str, folder: str = "", services: Sequence[str] | None = None) -> dict[str, Service]:
    found = from_bake("compose.yaml", printed(text), folder, services)
    return {each.name: each for each in found.build(settings.parse({}), "ada")}


def carried(**keys: str) -> dict[str, str]:
    """The labels that a service with a build has, and those that carry more of it."""
    keys = {DEFAULT_PLATFORM: "", **keys}
    return {f"{CARRIED}{key}": value for key, value in keys.items()}


def unset(*names: str) -> str:
    line = 'WARNING: The "{}" variable is not set. Defaulting to a blank string.\n'
    return "".join(line.format(name) for name in names)


@dataclass
class Source:
    """Files of a repository, and what the program answers, one time after the other."""

    files: Mapping[str, str]
    answers: list[Printed]
    tracked: Sequence[str] = ()
    asked: list[tuple[list[str], str, str, dict[str, str]]] = field(default_factory=list)

    def read(self, path: str, *, most: int) -> bytes | None:
        text = self.files.get(path)
        return None if text is None else text.encode()[:most]

    def tracks(self, path: str) -> bool:
        return path in self.tracked

    def print_bake(
        self, files: Mapping[str, bytes], file: str, folder: str, variables: Mapping[str, str]
    ) -> Printed:
        self.asked.append((sorted(files), file, folder, dict(variables)))
        return self.answers.pop(0)


def repository(text: str, *answers: Printed, name: str = "compose.yaml") -> Source:
    return Source({name: text}, list(answers))


ONE = "services: {a: {build: .}}"


def test_every_word_of_a_target_that_makes_the_image() -> None:
    text = definition(
        web={
            "context": "app",
            "dockerfile": "docker/Dockerfile",
            "target": "runtime",
            "args": {"A": "$${x} %%{y} $z"},
            "labels": {"b": "$${c}"},
            "platforms": ["linux/amd64"],
            "secret": [{"id": "npm", "src": "./npmrc"}, {"id": "t", "type": "env", "env": "T"}],
            "ssh": [{"id": "default"}, {"id": "git", "paths": ["/run/key"]}],
            "contexts": {"base": "target:base", "up": "docker-image://alpine", "lib": "libs/"},
            "pull": True,
            "no-cache": True,
            "no-cache-filter": ["deps"],
            "network": "host",
            "entitlements": ["network.host"],
            "shm-size": "1GiB",
            "ulimits": ["nproc=1:2", "nofile=3:4"],
            "extra-hosts": {"b": "::1", "a": "10.0.0.1,::1"},
            "annotations": ["index:a=b"],
            "tags": ["localhost:5000/team/shop-web:1@sha256:0", "other:2"],
            "output": [{"type": "registry"}],
            "cache-from": [{"ref": "a/b:1", "type": "registry"}, "a/c"],
            "cache-to": [{"mode": "max", "type": "gha"}],
            "attest": [{"type": "sbom"}],
            "description": "The shop.",
        },
        base={},
    )
    assert built(text) == {
        "web": Service(
            name="web",
            repository=Repository(HUB, "ada/shop-web"),
            context="app",
            dockerfile="docker/Dockerfile",
            target="runtime",
            args=(("A", "${x} %{y} $z"),),
            platforms=("linux/amd64",),
            labels=(("b", "${c}"),),
            secrets=(Secret("npm", "npmrc"), Secret("t", variable="T")),
            ssh=("default", "git=/run/key"),
            contexts=(("base", "service:base"), ("up", "docker-image://alpine"), ("lib", "libs")),
            pull=True,
            no_cache=True,
            options=BuildOptions(
                network="host",
                shm_size=1024**3,
                ulimits=("nofile=3:4", "nproc=1:2"),
                entitlements=("network.host",),
                extra_hosts=(("a", "10.0.0.1,::1"), ("b", "::1")),
                no_cache_filter=("deps",),
            ),
            cache_sources=("type=registry,ref=a/b:1", "type=registry,ref=a/c"),
            cache_targets=("type=gha,mode=max",),
            annotations=(Annotation("index", "a", "b"),),
        ),
        "base": Service("base", Repository(HUB, "ada/base")),
    }


def test_older_programs_print_secrets_and_agents_as_text() -> None:
    found = built(definition(a={"secret": ["id=npm,env=NPM"], "ssh": ["default"]}))
    assert (found["a"].secrets, found["a"].ssh) == ((Secret("npm", variable="NPM"),), ("default",))


@pytest.mark.parametrize(
    ("folder", "target", "context", "dockerfile"),
    [
        ("", {}, ".", "Dockerfile"),
        ("", {"context": "./app/"}, "app", "Dockerfile"),
        ("", {"context": "/repository"}, ".", "Dockerfile"),
        ("", {"context": "/repository/app"}, "app", "Dockerfile"),
        ("", {"context": "/repository/app", "dockerfile": "/repository/app/D"}, "app", "D"),
        ("", {"context": "app", "dockerfile": "/repository/docker/D"}, "app", "../docker/D"),
        ("deploy", {}, "deploy", "Dockerfile"),
        ("deploy", {"context": "../app", "dockerfile": "D"}, "app", "D"),
        ("deploy", {"context": "../../x"}, "../x", "Dockerfile"),  # Refused where files are seen.
    ],
)
def test_paths_are_those_of_the_workspace(
    folder: str, target: Mapping[str, Any], context: str, dockerfile: str
) -> None:
    found = built(definition(a=target), folder)["a"]
    assert (found.context, found.dockerfile) == (context, dockerfile)


def test_groups_hold_groups_and_themselves() -> None:
    bake = {
        "group": {
            "default": {"targets": ["one", "a", "default"]},
            "one": {"targets": ["two", "a", "b"]},
            "two": {"targets": ["one"]},
            "other": {"targets": ["c"]},
        },
        "target": {"a": {}, "b": {}, "c": {}, "default": {}},
    }
    assert list(built(json.dumps(bake))) == ["a", "b", "default"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"dockerfile-inline": "FROM scratch"}, ["services.a: dockerfile-inline is not supported"]),
        ({"call": "check"}, ["call is not supported", "would change the image", "Remove it"]),
        ({"resources": {"memory": 1}}, ["resources is not supported"]),
        ({"network": "app_default"}, ["services.a.network: 'app_default' is not a network"]),
        ({"entitlements": ["x"]}, ["services.a.entitlements.item 1: 'x' is not an entitlement"]),
        ({"shm-size": "x"}, ["services.a.shm_size: 'x' is not a size"]),
        ({"ulimits": ["x=1"]}, ["services.a.ulimits: 'x' is not a limit"]),
        ({"extra-hosts": {"a": "x"}}, ["services.a.extra_hosts: 'x' is not the address"]),
        ({"no-cache-filter": ["$"]}, ["services.a.no_cache_filter.item 1: '$'"]),
        ({"annotations": ["x"]}, ["services.a.annotations: 'x' is not of the form"]),
        ({"new\x1b\nword": 1}, ["new word is not supported"]),
        ({"args": {"A": None}}, ["services.a.args.A has no value"]),
        ({"context": "/etc"}, ["services.a.context: '/etc' is not a relative path"]),
        ({"context": "https://github.com/a/b.git"}, ["services.a.context", "is an address"]),
        ({"context": "git@github.com:a/b.git"}, ["services.a.context", "is an address"]),
        ({"contexts": {"x": "/etc"}}, ["services.a.additional_contexts.x: '/etc'"]),
        ({"contexts": {"x": "target:b"}}, ["from 'b', which is not among what", "Add that to"]),
        (
            {"secret": [{"id": "x", "src": "/etc/passwd"}]},
            ["services.a.secrets.item 1: '/etc/passwd'"],
        ),
        ({"secret": [{"id": "x", "src": "a,b"}]}, ["is not a build secret"]),
        ({"ssh": [{"id": "x", "paths": ["a", "b"]}]}, ["'x=a,b' is not an SSH agent"]),
        (
            {"labels": {"org.opencontainers.image.source": "x"}},
            ["where an image comes from", "Remove it"],
        ),
        ({"tags": ["a/B:1"]}, ["services.a.image", "must be lowercase"]),
        ({"pull": 1}, ["services.a.pull is not a boolean"]),
    ],
)
def test_what_would_be_another_image_is_refused(
    target: Mapping[str, Any], words: list[str]
) -> None:
    with fails("compose.yaml: services.a", *words) as caught:
        built(definition(a=target))
    assert len(caught.value.problems) == 1


def test_all_that_is_wrong_with_all_targets() -> None:
    with fails("services.a: call", "services.b: policy", "services.b.args.A has no") as caught:
        built(definition(a={"call": "x"}, b={"policy": "x", "args": {"A": None}}))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"group": {}, "target": {}}', '"x"'),
        '{"group": {"default": {"targets": ["a"]}}, "target": {}}',
        '{"group": {"default": {"targets": ["a"]}}, "target": {"a": []}}',
        *(definition(a={key: 1}) for key in ("args", "contexts", "secret", "ssh", "tags")),
    ],
)
def test_what_is_no_definition(text: str) -> None:
    with fails("what buildx printed is no Bake definition", "Update buildx"):
        built(text)


@pytest.mark.parametrize("targets", ["null", "[]"])
def test_a_file_with_nothing_to_build(targets: str) -> None:
    with fails("compose.yaml describes nothing to build"):
        built(f'{{"group": {{"default": {{"targets": {targets}}}}}, "target": {{}}}}')


def web(**more: Any) -> str:
    """What is printed of one service, named a."""
    return definition(a={"labels": carried(), **more})


class TestCompose:
    """What a Compose file says, and buildx leaves aside."""

    def test_what_is_carried_is_no_label(self) -> None:
        found = built(web(labels={"x": "y", **carried(image="org/shop:1")}), services=["a"])["a"]
        assert (found.labels, found.repository.name) == ((("x", "y"),), "shop")

    def test_services_are_those_with_a_build_in_their_order(self) -> None:
        text = definition(
            a={"labels": {}}, b_1={"labels": carried()}, c={"labels": carried()}, d={}
        )
        assert list(built(text, services=["c", "a", "d", "b.1", "e"])) == ["c", "b_1"]

    def test_an_image_beats_the_other_tags(self) -> None:
        text = web(labels=carried(image="org/web"), tags=["org/extra:1"])
        assert built(text, services=["a"])["a"].repository.name == "web"
        text = web(tags=["org/extra:1"])
        assert built(text, services=["a"])["a"].repository.name == "extra"

    @pytest.mark.parametrize(
        ("labels", "platforms", "expected"),
        [
            # https://github.com/docker/buildx/issues/759
            ({"platform": "linux/amd64"}, [], ("linux/amd64",)),
            # https://github.com/ondrejsika/docker-training/issues/158
            ({"platform": "linux/x86_64"}, [], ("linux/amd64",)),
            ({"platform": "linux/arm64/v8"}, ["linux/arm64"], ("linux/arm64",)),
            (
                {"platform": "linux/arm64"},
                ["linux/amd64", "linux/arm64"],
                ("linux/amd64", "linux/arm64"),
            ),
            # https://github.com/docker/compose/issues/8840
            ({DEFAULT_PLATFORM: "linux/amd64"}, [], ("linux/amd64",)),
            # https://github.com/docker/compose/issues/9853
            ({DEFAULT_PLATFORM: "linux/amd64", "platform": "linux/arm64"}, [], ("linux/arm64",)),
            ({}, ["linux/arm64"], ("linux/arm64",)),
            ({}, [], ()),
        ],
    )
    def test_the_platform_of_a_service(
        self, labels: dict[str, str], platforms: list[str], expected: tuple[str, ...]
    ) -> None:
        text = web(labels=carried(**labels), platforms=platforms)
        assert built(text, services=["a"])["a"].platforms == expected

    @pytest.mark.parametrize(
        ("labels", "more", "words"),
        [
            (
                {"platform": "linux/arm64"},
                {"platforms": ["linux/amd64"]},
                [
                    "services.a: its platform linux/arm64 is not in platforms of its build",
                    "Add it there",
                ],
            ),
            (
                {DEFAULT_PLATFORM: "linux/arm64"},
                {"platforms": ["linux/amd64"]},
                ["not in platforms"],
            ),
            ({"platform": "linux/arm46"}, {}, ["platforms.item 1: 'linux/arm46'", "linux/arm64"]),
            ({"platform": "linux/arm46"}, {"platforms": ["linux/arm64"]}, ["platform linux/arm46"]),
            ({"privileged": "true"}, {}, ["services.a: privileged is not supported"]),
            ({"isolation": "hyperv"}, {}, ["services.a: isolation is not"]),
            ({"no_cache_filter.$": "$"}, {}, ["services.a.no_cache_filter.item 1: '$' is not"]),
            ({"secrets.target": "npmrc"}, {}, ["services.a: secrets.target is not"]),
        ],
    )
    def test_what_would_be_another_image_is_refused(
        self, labels: dict[str, str], more: dict[str, Any], words: list[str]
    ) -> None:
        with fails(*words) as caught:
            built(web(labels=carried(**labels), **more), services=["a"])
        assert len(caught.value.problems) == 1

    def test_what_is_carried_as_a_list_joins_what_buildx_read(self) -> None:
        labels = carried(**{"entitlements.x": "device", "no_cache_filter.a": "deps"})
        labels |= carried(**{"ulimits.nproc": "nproc=5", "ulimits.nofile": "nofile=1:2"})
        text = definition(a={"labels": labels, "entitlements": ["network.host"]})
        found = built(text, services=["a"])["a"].options
        assert found.entitlements == ("network.host", "device")
        assert found.no_cache_filter == ("deps",)
        assert found.ulimits == ("nofile=1:2", "nproc=5:5")

    def test_what_is_turned_off_is_not_there(self) -> None:
        assert built(web(labels=carried(privileged="false")), services=["a"])


class TestSame:
    """Services that are one build and one image."""

    def test_they_are_one_by_the_first_of_their_names(self) -> None:
        # https://github.com/docker/compose/issues/7343
        text = definition_of(
            {
                "my-web": {"context": "web", "tags": ["web:1"], "cache-from": [{"type": "gha"}]},
                "my-web-saver": {"context": "web", "tags": ["web:1"]},
                "jobs": {"contexts": {"base": "target:my-web-saver", "lib": "lib"}},
            }
        )
        found = built(text)
        assert list(found) == ["my-web", "jobs"]
        assert [each.cache_sources for each in found.values()] == [("type=gha",), ()]
        assert found["my-web"].aliases == ("my-web-saver",)
        assert found["jobs"].contexts == (("base", "service:my-web"), ("lib", "lib"))
        for name in ("my-web", "my-web-saver"):
            assert select(tuple(found.values()), [name]) == (found["my-web"],)
        assert select(tuple(found.values()), ["my-web", "my-web-saver"]) == (found["my-web"],)
        assert select(tuple(found.values()), []) == tuple(found.values())
        with fails("there is no service 'my-wbe'", "my-web"):
            select(tuple(found.values()), ["my-wbe"])

    def test_a_tag_or_a_registry_makes_no_other_image(self) -> None:
        # https://github.com/desec-io/desec-stack/issues/1233
        text = definition(
            api={"context": "api", "tags": ["desec/dedyn-api:latest"]},
            celery={"context": "api", "tags": ["docker.io/desec/dedyn-api"]},
            cron={"context": "api", "tags": ["desec/dedyn-api:1"]},
        )
        assert built(text)["api"].aliases == ("celery", "cron")

    def test_another_build_or_no_image_keeps_them_apart(self) -> None:
        found = built(definition(a={"tags": ["x"]}, b={"tags": ["x"], "target": "y"}, c={}, d={}))
        assert list(found) == ["a", "b", "c", "d"]
        assert not any(each.aliases for each in found.values())


class TestRead:
    @pytest.mark.parametrize(
        ("name", "asked", "context"),
        [
            ("compose.yaml", ("compose.yaml", ""), "app"),
            ("deploy/compose.yml", ("compose.yml", "deploy"), "deploy/app"),
            ("deploy/COMPOSE.YML", ("COMPOSE.YML", "deploy"), "deploy/app"),
            ("deploy/docker-bake.hcl", ("deploy/docker-bake.hcl", ""), "app"),
            ("deploy/docker-bake.json", ("deploy/docker-bake.json", ""), "app"),
        ],
    )
    def test_where_the_paths_of_a_file_start(
        self, name: str, asked: tuple[str, str], context: str
    ) -> None:
        source = repository(ONE, printed(web(context="app")), name=name)
        found = compose.read(name, source)
        copied = [] if "bake" in name else [name]
        assert source.asked == [(copied, *asked, {})]
        assert found.services["a"].context == context
        assert found.where("a") == f"{name}: services.a"

    @pytest.mark.parametrize("name", ["compose.yaml", "docker-bake.hcl"])
    def test_a_file_that_is_not_there_or_too_large(self, name: str) -> None:
        with fails(f"there is no file {name!r}", "relative to the repository"):
            compose.read(name, Source({}, []))
        with fails(f"{name!r} is larger than 1 MiB"):
            compose.read(name, Source({name: "x" * (1024 * 1024 + 1)}, []))

    @pytest.mark.parametrize("text", ["", "x", "[]", "services: {a: {image: redis}}", "services: "])
    def test_a_file_without_a_build(self, text: str) -> None:
        with fails("compose.yaml describes nothing to build"):
            compose.read("compose.yaml", repository(text))

    def test_a_variable_that_only_containers_see_does_no_harm(self) -> None:
        text = web(labels=carried(image="ada/shop:"))
        probed = web(labels=carried(image="ada/shop:50002"))
        source = repository(ONE, printed(text, unset("TAG", "PASSWORD", "TAG")), printed(probed))
        assert compose.read("compose.yaml", source).services["a"].image == "shop"
        assert source.asked[1][3] == {"PASSWORD": "50001", "TAG": "50002"}

    def test_a_cache_with_a_variable_that_is_not_set_is_left_out(self) -> None:
        two = "services: {a: {build: .}, b: {build: .}}"
        kept = {"cache-to": ["r/b"], "labels": carried()}
        first, again = (
            definition(a={"cache-from": [f"r/a:{tag}"], "labels": carried()}, b=kept)
            for tag in ("", "50001")
        )
        source = repository(two, printed(first, unset("TAG")), printed(again))
        found = compose.read("compose.yaml", source)
        services = {each.name: each for each in found.build(settings.parse({}), "ada")}
        assert services["a"].cache_sources == ()
        assert services["b"].cache_targets == ("type=registry,ref=r/b",)
        (said,) = found.notices
        assert said.startswith("compose.yaml: services.a: its caches are left out")

    @pytest.mark.parametrize("key", ["cache-from", "cache-to"])
    def test_a_cache_that_is_none(self, key: str) -> None:
        with fails(f"compose.yaml: services.a.{key.replace('-', '_')}: 'x' is not a type of cache"):
            built(definition(a={key: ["type=x"]}, b={}))

    def test_a_required_variable_of_a_tag_does_no_harm(self) -> None:
        required = "ERROR: required variable {} is missing a value: set it"
        first = web(labels=carried(image="ada/shop:40001"))
        again = web(labels=carried(image="ada/shop:50001"))
        answers = [printed("", required.format("TAG"), 1), printed("", required.format("OF"), 1)]
        source = repository(ONE, *answers, printed(first), printed(again))
        assert compose.read("compose.yaml", source).services["a"].image == "shop"
        assert [each[3] for each in source.asked] == [
            {},
            {"TAG": "40001"},
            {"TAG": "40001", "OF": "40002"},
            {"OF": "50001", "TAG": "50002"},
        ]

    def test_a_required_variable_that_stays_so_ends_it(self) -> None:
        answer = printed("", "ERROR: required variable X is missing a value: it is due", 1)
        with fails("the variable X has no value", "required variable X") as caught:
            compose.read("compose.yaml", repository(ONE, answer, answer))
        assert len(caught.value.problems) == 2

    def test_a_variable_that_makes_another_image_is_refused(self) -> None:
        text = web(args={"A": "", "B": ""})
        probed = web(args={"A": "x50001", "B": "50003"})
        said = unset("A", "B", "PORT").replace('"B"', '\\"PASSWORD\\"')
        source = repository(ONE, printed(text, said), printed(probed))
        with fails(
            "compose.yaml: the variable A has no value", "${A:-default}", "the variable PORT has"
        ) as caught:
            compose.read("compose.yaml", source)
        assert len(caught.value.problems) == 2

    def test_a_variable_whose_use_cannot_be_told_is_refused(self) -> None:
        source = repository(ONE, printed(web(target="x"), unset("A")), printed(web(target="y")))
        with fails("the variable A has no value"):
            compose.read("compose.yaml", source)

    @pytest.mark.parametrize(
        ("errors", "words"),
        [
            ("ERROR: a.hcl:1,2-3: Invalid block.\n", ["it: a.hcl:1,2-3: Invalid block."]),
            ("ERROR: one\nERROR: two\x1b\n", ["buildx cannot read it: two."]),
            ("ERROR: Circular reference:\n a\n b", ["it: Circular reference: a b."]),
            ("", ["buildx cannot read it: no reason given.", "docker buildx bake --print -f"]),
            ("panic\nat once", ["buildx cannot read it: panic at once."]),
            ("ERROR: failed to find target default", ["which targets", 'group "default"']),
        ],
    )
    def test_what_the_program_cannot_read(self, errors: str, words: list[str]) -> None:
        with fails("a.hcl", *words):
            compose.read("a.hcl", repository("", printed("", errors, 1), name="a.hcl"))

    def test_what_is_not_set_is_named_beside_what_it_broke(self) -> None:
        errors = f'{unset("N")}ERROR: strconv.Atoi: parsing "": invalid syntax'
        with fails("the variable N has no value", "strconv.Atoi") as caught:
            compose.read("compose.yaml", repository(ONE, printed("", errors, 1)))
        assert len(caught.value.problems) == 2

    def test_names_that_bake_takes_for_one(self) -> None:
        text = "services: {w.x: {build: a}, w_x: {build: b}, v: {build: c}, v_1: {image: d}, v.1: }"
        with fails("Bake reads the services w.x and w_x as one service.", "another name") as caught:
            compose.read("compose.yaml", repository(text))
        assert len(caught.value.problems) == 1


class TestUntracked:
    """Variables in files that no commit holds."""

    def read(self, *answers: Printed, tracked: Sequence[str] = ()) -> Source:
        source = Source({"compose.yaml": ONE, ".env": "A=1"}, list(answers), tracked)
        compose.read("compose.yaml", source)
        return source

    def test_they_do_no_harm_where_no_image_is_made_from_them(self) -> None:
        source = self.read(printed(web()), printed(web()))
        assert [each[0] for each in source.asked] == [[".env", "compose.yaml"], ["compose.yaml"]]

    def test_those_that_are_tracked_count(self) -> None:
        source = self.read(printed(web()), tracked=[".env"])
        assert [each[0] for each in source.asked] == [[".env", "compose.yaml"]]

    @pytest.mark.parametrize(
        "answers",
        [
            (printed(web(target="x")), printed(web(target="y"))),
            (printed(web(target="x")), printed("", "ERROR: no", 1)),
            (printed("", "ERROR: no", 1), printed(web(target="x"))),
        ],
    )
    def test_they_are_refused_where_one_is(self, answers: tuple[Printed, ...]) -> None:
        with fails("compose.yaml takes variables from .env, which git does not track", "Commit it"):
            self.read(*answers)

    def test_what_they_do_not_mend_is_said_as_it_is(self) -> None:
        with fails("buildx cannot read it: no."):
            self.read(printed("", "ERROR: no", 1), printed("", "ERROR: no", 1))
