from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from support.failures import fails

from feastflow_registry.config import compose, settings
from feastflow_registry.config.compose import from_bake
from feastflow_registry.model.ports import Printed
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.services import Secret, Service

HUB = RegistryHost("docker.io")


def definition(*groups: str, **targets: Mapping[str, Any]) -> str:
    members = list(groups or targets)
    return json.dumps({"group": {"default": {"targets": members}}, "target": targets})


def built(text: str, folder: str = "") -> dict[str, Service]:
    found = from_bake("compose.yaml", text, "/repository", folder)
    return {each.name: each for each in found.build(settings.parse({}), "ada")}


def unset(*names: str) -> str:
    line = 'WARNING: The "{}" variable is not set. Defaulting to a blank string.\n'
    return "".join(line.format(name) for name in names)


class Program:
    """What the program answers: with no variables at first, then with those it asked for."""

    def __init__(self, *answers: Printed) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    def print(self, file: str, folder: str, variables: Mapping[str, str]) -> Printed:
        self.asked.append((file, folder, dict(variables)))
        return self.answers.pop(0)


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
            "tags": ["localhost:5000/team/shop-web:1@sha256:0", "other:2"],
            "output": [{"type": "registry"}],
            "cache-from": [{"type": "gha"}],
            "cache-to": [{"type": "gha"}],
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
        ({"network": "host"}, ["network is not supported", "another image", "Take it out"]),
        ({"entitlements": ["network.host"]}, ["entitlements is not supported"]),
        ({"shm-size": "1g"}, ["shm-size"]),
        ({"ulimits": ["nofile=1"]}, ["ulimits"]),
        ({"extra-hosts": {"a": "1.2.3.4"}}, ["extra-hosts"]),
        ({"call": "check"}, ["call is not supported"]),
        ({"no-cache-filter": ["x"]}, ["no-cache-filter"]),
        ({"annotations": ["a=b"]}, ["annotations"]),
        ({"new\x1b\nword": 1}, ["new word is not supported"]),
        ({"args": {"A": None}}, ["services.a.args.A has no value"]),
        ({"context": "/etc"}, ["services.a.context: '/etc' is not a relative path"]),
        ({"context": "https://github.com/a/b.git"}, ["services.a.context", "not a relative path"]),
        ({"context": "git@github.com:a/b.git"}, ["services.a.context", "not a relative path"]),
        ({"contexts": {"x": "/etc"}}, ["services.a.additional_contexts.x: '/etc'"]),
        ({"contexts": {"x": "target:b"}}, ["from 'b', which is not among what", "Add that to"]),
        (
            {"secret": [{"id": "x", "src": "/etc/passwd"}]},
            ["services.a.secrets.item 1: '/etc/passwd'"],
        ),
        ({"secret": [{"id": "x", "src": "a,b"}]}, ["is not a build secret"]),
        ({"ssh": [{"id": "x", "paths": ["a", "b"]}]}, ["'x=a,b' is not an SSH agent"]),
        ({"labels": {"org.opencontainers.image.source": "x"}}, ["origin", "Remove it"]),
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
    with fails("services.a: call", "services.b: network", "services.b.args.A has no") as caught:
        built(definition(a={"call": "x"}, b={"network": "x", "args": {"A": None}}))
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


class TestRead:
    @pytest.mark.parametrize(
        ("name", "asked", "context"),
        [
            ("compose.yaml", ("compose.yaml", ""), "app"),
            ("deploy/compose.yml", ("compose.yml", "deploy"), "deploy/app"),
            ("deploy/docker-bake.hcl", ("deploy/docker-bake.hcl", ""), "app"),
            ("deploy/docker-bake.json", ("deploy/docker-bake.json", ""), "app"),
        ],
    )
    def test_where_the_paths_of_a_file_start(
        self, name: str, asked: tuple[str, str], context: str
    ) -> None:
        program = Program(Printed(0, definition(a={"context": "app"}), ""))
        found = compose.read(name, "/repository", program.print)
        assert program.asked == [(*asked, {})]
        assert found.services["a"].context == context
        assert found.where("a") == f"{name}: services.a"

    def test_a_variable_that_only_containers_see_does_no_harm(self) -> None:
        text = definition(a={"tags": ["ada/shop:"]})
        probed = definition(a={"tags": ["ada/shop:40002"]})
        said = unset("TAG", "PASSWORD", "TAG")
        program = Program(Printed(0, text, said), Printed(0, probed, ""))
        assert (
            compose.read("compose.yaml", "/repository", program.print).services["a"].image == "shop"
        )
        assert program.asked[1][2] == {"PASSWORD": "40001", "TAG": "40002"}

    def test_a_variable_that_makes_another_image_is_refused(self) -> None:
        text = definition(a={"args": {"A": "", "B": ""}})
        probed = definition(a={"args": {"A": "x40001", "B": "40003"}})
        said = unset("A", "B", "PORT").replace('"B"', '\\"PASSWORD\\"')
        program = Program(Printed(0, text, said), Printed(0, probed, ""))
        with fails(
            "compose.yaml: the variable A is not set", "${A:-default}", "the variable PORT is"
        ) as caught:
            compose.read("compose.yaml", "/repository", program.print)
        assert len(caught.value.problems) == 2

    def test_a_variable_whose_use_cannot_be_told_is_refused(self) -> None:
        program = Program(
            Printed(0, definition(a={"target": "x"}), unset("A")),
            Printed(0, definition(a={"target": "y"}), ""),
        )
        with fails("the variable A is not set"):
            compose.read("compose.yaml", "/repository", program.print)

    @pytest.mark.parametrize(
        ("errors", "words"),
        [
            ("ERROR: a.hcl:1,2-3: Invalid block.\n", ["it: a.hcl:1,2-3: Invalid block."]),
            ("ERROR: one\nERROR: two\x1b\n", ["buildx cannot read it: two."]),
            ("", ["buildx cannot read it: no reason given.", "docker buildx bake --print -f"]),
            ("panic\nat once", ["buildx cannot read it: panic at once."]),
            ("ERROR: failed to find target default", ["which targets", 'group "default"']),
        ],
    )
    def test_what_the_program_cannot_read(self, errors: str, words: list[str]) -> None:
        with fails("a.hcl", *words):
            compose.read("a.hcl", "/repository", Program(Printed(1, "", errors)).print)

    def test_what_is_not_set_is_named_beside_what_it_broke(self) -> None:
        errors = f'{unset("N")}ERROR: strconv.Atoi: parsing "": invalid syntax'
        with fails("the variable N is not set", "strconv.Atoi") as caught:
            compose.read("compose.yaml", "/repository", Program(Printed(1, "", errors)).print)
        assert len(caught.value.problems) == 2


class TestAlike:
    @pytest.mark.parametrize(
        "text",
        [
            "services: {a: {build: .}, b: {build: .}}",
            "services: {a.b: {build: .}, a-b: {build: .}}",
            "services: [a, a]",
            "services: [",
            "{}",
            "x",
            'target "a" {}',
        ],
    )
    def test_names_that_bake_tells_apart_and_what_it_judges_itself(self, text: str) -> None:
        compose.refuse_alike("compose.yaml", text.encode())

    def test_names_that_bake_takes_for_one(self) -> None:
        text = b"services: {w.x: {build: a}, w_x: {build: b}, v: {build: c}}"
        with fails("Bake takes the services w.x and w_x for one.", "another name"):
            compose.refuse_alike("compose.yaml", text)
