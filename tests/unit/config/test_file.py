from __future__ import annotations

import textwrap

import pytest
from support.failures import fails

from feastflow_registry.config import file, settings
from feastflow_registry.config.file import Config
from feastflow_registry.config.schema import POLICY, RETENTION
from feastflow_registry.config.settings import INPUTS, FromFile
from feastflow_registry.model.errors import HELP
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.services import Annotation, BuildOptions, Secret, Service, SmokeTest

DESIGNED = """\
namespace: feastflow
milestone: sprint3
services:
  frontend: {image: feastflow-frontend, context: frontend/app, smoke-test: 3000/}
  pricing:  {context: services/pricing, platforms: [linux/amd64, linux/arm64]}
retention: {keep-days: 30, keep-last: 5}
"""
HUB = RegistryHost("docker.io")
NO_INPUT = {
    *("command", "username", "config", "services", "dry_run", "tag", "to", "from", "unmark"),
    *("secret_variables", "working_directory", "insecure_registries", "also_known_as"),
    *("buildkit_image", "matrix", "part", "runners", "built", "also", "registries"),
}
OF_ONE_SERVICE = {name.replace("-", "_") for name in file.OF_ONE_SERVICE}


def read(text: str) -> Config:
    return file.read("feastflow.yml", textwrap.dedent(text).encode())


def built(text: str, **inputs: str) -> dict[str, Service]:
    return {each.name: each for each in read(text).build(settings.parse(inputs), "ada")}


def of_service(line: str) -> str:
    return f"services:\n  pricing:\n    {line}\n"


def test_the_file_of_the_design() -> None:
    found = read(DESIGNED)
    assert found.name == "feastflow.yml"
    assert found.policy == {
        "namespace": FromFile("feastflow", 'feastflow.yml, line 1: "namespace"'),
        "milestone": FromFile("sprint3", 'feastflow.yml, line 2: "milestone"'),
        "keep_days": FromFile(30, 'feastflow.yml, line 6: "keep-days"'),
        "keep_last": FromFile(5, 'feastflow.yml, line 6: "keep-last"'),
    }
    assert found.build(settings.parse({}, found.policy), "ada") == (
        Service(
            "frontend",
            Repository(HUB, "feastflow/feastflow-frontend"),
            context="frontend/app",
            smoke_test=SmokeTest(3000),
        ),
        Service(
            "pricing",
            Repository(HUB, "feastflow/pricing"),
            context="services/pricing",
            platforms=("linux/amd64", "linux/arm64"),
        ),
    )


def test_every_word_of_a_service() -> None:
    text = """
        services:
          shop:
            image: team/shop
            context: app
            dockerfile: docker/Dockerfile
            target: runtime
            args: {ZIP: "0012345", EMPTY: ""}
            platforms: linux/amd64, linux/arm64
            labels: {maintainer: ada}
            secrets: ["id=npm,src=.npmrc", "id=token,env=NPM_TOKEN"]
            ssh: [default]
            additional_contexts:
              base: service:base
              shared: libs/shared
              alpine: docker-image://alpine:3.20
              upstream: https://github.com/a/b.git#main
              forked: git@github.com:a/b.git
            pull: true
            no_cache: true
            no_cache_filter: deps
            network: host
            entitlements: [network.host]
            extra_hosts: {cache: [10.0.0.7, "::1"]}
            ulimits: {nproc: 65535, nofile: {soft: 2, hard: 4}}
            shm_size: 2gb
            annotations: {"index:a": "1"}
            outputs: ["type=local,dest=out"]
            watch: [libs]
            smoke-test: 8080/health
            check: trivy image "$IMAGE"
          base:
        """
    found = built(text, registry="ghcr.io", smoke_test="1/", check="grype")
    assert found["shop"] == Service(
        name="shop",
        repository=Repository(RegistryHost("ghcr.io"), "ada/team/shop"),
        context="app",
        dockerfile="docker/Dockerfile",
        target="runtime",
        args=(("ZIP", "0012345"), ("EMPTY", "")),
        platforms=("linux/amd64", "linux/arm64"),
        labels=(("maintainer", "ada"),),
        secrets=(Secret("npm", ".npmrc"), Secret("token", variable="NPM_TOKEN")),
        ssh=("default",),
        contexts=(
            ("base", "service:base"),
            ("shared", "libs/shared"),
            ("alpine", "docker-image://alpine:3.20"),
            ("upstream", "https://github.com/a/b.git#main"),
            ("forked", "git@github.com:a/b.git"),
        ),
        pull=True,
        no_cache=True,
        watch=("libs",),
        smoke_test=SmokeTest(8080, "/health"),
        check='trivy image "$IMAGE"',
        options=BuildOptions(
            network="host",
            shm_size=2 * 1024**3,
            ulimits=("nofile=2:4", "nproc=65535:65535"),
            entitlements=("network.host",),
            extra_hosts=(("cache", "10.0.0.7,::1"),),
            no_cache_filter=("deps",),
        ),
        annotations=(Annotation("index", "a", "1"),),
        outputs=("type=local,dest=out",),
    )
    assert found["base"] == Service(
        "base",
        Repository(RegistryHost("ghcr.io"), "ada/base"),
        smoke_test=SmokeTest(1),
        check="grype",
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("registry: ghcr.io", "ghcr.io"),
        ("namespace: team", "team"),
        ("branches: [main, release/**]", "main,release/**"),
        ("branches: main, release/**", "main,release/**"),
        ("manifests: [k8s/**]", "k8s/**"),
        ("milestone: sprint3", "sprint3"),
        ('git-tags: "v*"', "v*"),
        ("latest: never", "never"),
        ("extra-tags: ['{version}']", "{version}"),
        ("shared-tags: no", "false"),
        ("sha-length: 12", "12"),
        ("reuse: unchanged", "unchanged"),
        ("builder: ci", "ci"),
        ("cache: none", "none"),
        ("attest: true", "true"),
        ("attest: false", ""),
        ("retention: {keep-days: 12}", "12"),
        ("retention: {keep-last: 12}", "12"),
        ("retention: {keep: [v*, sprint*]}", "v*,sprint*"),
        ("attest: [type=sbom, 'type=provenance,mode=max']", "type=sbom\ntype=provenance,mode=max"),
        ("attest: type=provenance,mode=max", "type=provenance,mode=max"),
        ("reproducible: true", "true"),
        ("smoke-test: 3000/", "3000/"),
        ("check: |\n  one\n  two", "one\ntwo\n"),
        ("branches: []", ""),
        ('branches: ["a,b", " c"]', "a,b,c"),
        ("services-from: compose.yaml", "compose.yaml"),
        ('milestone: ""', ""),
    ],
)
def test_policy_is_what_its_input_would_be(line: str, text: str) -> None:
    policy = read(f"{line}\n").policy
    [name] = policy
    assert settings.parse({}, policy) == settings.parse({name: text})
    assert policy[name].place == f'feastflow.yml, line 1: "{settings.option(name)}"'


def test_every_input_that_is_policy_can_stand_in_the_file() -> None:
    assert {*POLICY, *RETENTION} == set(INPUTS) - NO_INPUT - OF_ONE_SERVICE


def test_what_aliases_repeat_may_stand_under_a_key_of_its_own() -> None:
    text = """
        x-common: &common {platforms: [linux/amd64], args: {A: "1"}}
        services:
          menu: {<<: *common, context: menu}
          order: {<<: *common, args: {B: "2"}}
        """
    found = built(text)
    assert found["menu"].platforms == found["order"].platforms == ("linux/amd64",)
    assert (found["menu"].args, found["order"].args) == ((("A", "1"),), (("B", "2"),))


def test_where_a_service_stands() -> None:
    found = read("services:\n  pricing:\n    context: x\n    target: y\n")
    assert found.where("pricing") == "feastflow.yml, line 2: services.pricing"
    assert found.where("pricing", "target") == "feastflow.yml, line 4: services.pricing.target"
    assert found.where("pricing", "check") == "feastflow.yml, line 2: services.pricing.check"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("milestone: 1.10", ["line 1: milestone is 1.10, which is the number 1.1", '"1.10"']),
        ("milestone:", ["milestone has no value", "remove the line"]),
        ("milestone: null", ["milestone is null, which is nothing to YAML", '"null"']),
        ("milestone: [a]", ["milestone is a list, not a text"]),
        ("smoke-test: 3000", ["smoke-test is 3000, which is the number 3000", '"3000"']),
        ("shared-tags: 'yes'", ["shared-tags is not a boolean", "without quotes"]),
        ("sha-length: '7'", ["sha-length is not a whole number", "without quotes"]),
        ("sha-length: 3", ["sha-length is less than 7", "Write 7 or more"]),
        ("sha-length: 41", ["sha-length is more than 40", "Write 40 or less"]),
        ("attest: 3", ["attest is not a list"]),
        ("branches: {a: b}", ["branches is not a list", "[one, two]"]),
        ("nmespace: x", ["nmespace is not a key", 'Perhaps you meant "namespace"']),
        ("git_tags: v", ["git_tags is not a key", '"git-tags"']),
        ("username: x", ["username is not a key that is known here"]),
        ("services:", ["services is not a mapping"]),
        ("services: {}", ["services is empty", "Name a service"]),
        ("services: {a b: }", ["services.a b: 'a b' is not a service"]),
        ("services: {a: x}", ["services.a is not a mapping"]),
        (
            "services: {a: }\nservices-from: b",
            ["line 2: the file has both services-from and services"],
        ),
        ("retention: {keep-days: -1}", ["retention.keep-days is less than 0"]),
        ("retention: {keep-last: x}", ["retention.keep-last is not a whole number"]),
        ("retention: {keep-lst: 1}", ['"keep-last"']),
        ("retention:", ["retention is not a mapping"]),
        ("- a", ["feastflow.yml is not a mapping", "key: value"]),
        ("x", ["feastflow.yml is not a mapping"]),
        (of_service("target: no"), ["line 3: services.pricing.target is no, ", "boolean false"]),
        (of_service("args: {ZIP: 0012345}"), ["args.ZIP is 0012345, ", "5349", '"0012345"']),
        (of_service("args: {D: 2024-01-01}"), ["2024-01-01, which is a date", '"2024-01-01"']),
        (of_service("args: {T: 22:22}"), ["22:22, which is the number 1342", '"22:22"']),
        (of_service("args: {V: 1.0}"), ["1.0, which is the number 1.0", '"1.0"']),
        (of_service("args: {N: }"), ["services.pricing.args.N has no value"]),
        (of_service("args: {L: {a: b}}"), ["args.L is a mapping, not a text"]),
        (of_service("args: [A=1]"), ["services.pricing.args is not a mapping"]),
        (of_service("args: {A=B: x}"), ["'A=B' is not a valid key"]),
        (of_service('args: {A: "\\e[31m"}'), ["'\\x1b[31m' holds a control character"]),
        (
            of_service("labels: {org.opencontainers.image.source: x}"),
            ["proves where an image comes from", "Remove it"],
        ),
        (of_service("labels: {a b: x}"), ["'a b' is not a valid key"]),
        (of_service("image: Shop"), ["services.pricing.image", "must be lowercase"]),
        (of_service("image: shop:1"), ["holds a tag or a digest", "come from the commit"]),
        (of_service("image: ghcr.io/a/shop"), ["begins with a registry", "keys of their own"]),
        (of_service("image: localhost/shop"), ["begins with a registry"]),
        (of_service("context: /etc"), ["context: '/etc' is not a relative path"]),
        (of_service("platforms: [linux/amd64, x]"), ["platforms.item 2: 'x' is not a platform"]),
        (of_service("secrets: [id=npm]"), ["'id=npm' is not a build secret"]),
        (of_service("ssh: a b"), ["'a b' is not an SSH agent"]),
        (of_service("additional_contexts: {a: target:b}"), ["in the form of Bake", "service:NAME"]),
        (of_service("additional_contexts: {a: 'service:'}"), ["'' is not a service"]),
        (
            of_service("additional_contexts: {a: oci-layout://x}"),
            ["not a build context", "https://"],
        ),
        (of_service("additional_contexts: {a b: c}"), ["'a b' is not the name of a context"]),
        (of_service("pull: 1"), ["pull is not a boolean"]),
        (of_service("smoke-test: x"), ["not a port and a path"]),
        (of_service("contxt: x"), ['Perhaps you meant "context"']),
        (of_service("no-cache: true"), ['Perhaps you meant "no_cache"']),
        (of_service("build: {context: .}"), ["services.pricing.build", "directly below"]),
        (of_service("check: !x y"), ["line 3: the tag '!x' has no meaning"]),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_the_fix(text: str, words: list[str]) -> None:
    with fails("feastflow.yml", *words) as caught:
        read(text)
    assert len(caught.value.problems) == 1


def test_all_problems_at_once_ordered_by_line() -> None:
    text = """\
        milestone: 1.10
        services:
          pricing: {target: no, contxt: x}
          menu:
            args: {ZIP: 0012345}
            args: {ZIP: "0012345"}
          "a\\n{b}": {}
        latest: !x y
        retention: {keep-days: -1}
        nmespace: x
        """
    with fails() as caught:
        read(text)
    assert [each.cause.partition(": ")[0] for each in caught.value.problems] == [
        f"feastflow.yml, line {line}" for line in (1, 3, 3, 5, 6, 7, 8, 9, 10)
    ]


def test_a_name_that_no_repository_can_have_is_found_when_it_is_built() -> None:
    text = "services:\n  Pricing:\n  menu: {image: menu}\n  Order: {}\n"
    with fails("services.Pricing: repository name 'ada/Pricing' must be lowercase") as caught:
        built(text)
    assert [each.cause.partition(": ")[0] for each in caught.value.problems] == [
        "feastflow.yml, line 2",
        "feastflow.yml, line 4",
    ]
    with fails("line 3: services.menu.image: repository name 'A/menu'"):
        read("services:\n\n  menu: {image: menu}\n").build(settings.parse({}), "A")


@pytest.mark.parametrize(
    "text",
    ["namespace: Shop\nservices: {menu: {}}", of_service("image: Shop"), "services: {Menu: {}}"],
)
def test_what_is_wrong_in_a_file_names_its_place_in_the_troubleshooting(text: str) -> None:
    with fails("must be lowercase") as caught:
        config = read(text)
        config.build(settings.parse({}, config.policy), "ada")
    assert [each.help for each in caught.value.problems] == [f"{HELP}#lowercase"]
