from __future__ import annotations

from dataclasses import replace

import pytest
from support.failures import fails
from support.runs import service

from feastflow_registry.config import service_options, settings
from feastflow_registry.config.platforms import Matrix
from feastflow_registry.config.settings import FromFile, parse
from feastflow_registry.model.plan import Command, Latest, Reuse
from feastflow_registry.model.references import RegistryHost, Repository, Tag
from feastflow_registry.model.services import Service


def test_the_defaults_are_those_of_the_contract() -> None:
    not_empty = {name: value for name, value in parse({}) if value not in ("", (), None, False)}
    assert not_empty == {
        "command": Command.PUBLISH,
        "registry": RegistryHost("docker.io"),
        "context": ".",
        "dockerfile": "Dockerfile",
        "branches": ("main",),
        "git_tags": ("**",),
        "latest": Latest.FORWARD,
        "shared_tags": True,
        "sha_length": 7,
        "matrix": Matrix.SERVICES,
        "reuse": Reuse.COMMIT,
        "keep_days": 90,
        "keep_last": 10,
    }
    assert parse({}).main == "main"


def test_every_input_is_read_from_text() -> None:
    given = {
        "command": "push",
        "registry": "localhost:5000",
        "insecure-registries": "registry:5000,10.0.0.5:5000",
        "also": "ghcr.io/team/{service}",
        "registries": "ghcr.io",
        "username": "Ada",
        "namespace": "team",
        "working-directory": "app",
        "config": "ci/feastflow.yml",
        "also-known-as": "old-owner/old-name,https://git.example/old/shop",
        "services": "frontend,pricing",
        "services-from": "compose.yaml",
        "image": "shop",
        "context": "app",
        "dockerfile": "docker/Dockerfile",
        "target": "runtime",
        "build-args": "A=1\nB=2",
        "platforms": "linux/amd64,linux/arm64",
        "labels": "maintainer=ada",
        "secrets": "id=npm,src=.npmrc",
        "network": "host",
        "add-hosts": "cache:10.0.0.7",
        "ulimits": "nofile=1024:2048",
        "shm-size": "2gb",
        "allow": "network.host",
        "no-cache-filters": "deps",
        "annotations": "a=b",
        "outputs": "type=local,dest=out",
        "secret-variables": "NPM_TOKEN,PYPI_TOKEN",
        "branches": "trunk,release/**",
        "git-tags": "v*",
        "milestone": "sprint3",
        "latest": "never",
        "extra-tags": "edge,{branch}",
        "shared-tags": "false",
        "sha-length": "12",
        "matrix": "platforms",
        "part": "linux/arm64",
        "runners": "linux/arm64=self-hosted",
        "built": '{"service": ["frontend"]}',
        "reuse": "never",
        "builder": "ci",
        "buildkit-image": "mirror.example.com/moby/buildkit:v1",
        "cache": "registry",
        "cache-from": "ada/app:cache",
        "cache-to": "type=local,dest=.cache",
        "attest": "true",
        "reproducible": "true",
        "smoke-test": "3000/",
        "check": 'trivy image "$IMAGE"',
        "tag": "production,team/app",
        "to": "a1b2c3d",
        "from": "0a1b2c3",
        "unmark": "true",
        "manifests": "k8s/**,base/kustomization.yaml",
        "keep-days": "30",
        "keep-last": "5",
        "keep": "v*",
        "dry-run": "true",
    }
    assert given.keys() == {settings.option(name) for name in settings.INPUTS}
    found = parse(given)
    assert found == parse({name.replace("-", "_"): text for name, text in given.items()})
    assert [name for name, value in found if value == getattr(parse({}), name)] == []
    assert found.command is Command.PUSH
    assert found.main == "trunk"
    assert [each.url for each in found.insecure_registries] == [
        "http://registry:5000",
        "http://10.0.0.5:5000",
    ]
    plain = parse({"registry": "registry:5000", "insecure-registries": "registry:5000"})
    assert plain.registry.url == "http://registry:5000"
    assert found.sha_length == 12
    assert found.milestone == Tag("sprint3")
    assert found.extra_tags == ("edge", "{branch}")
    assert found.build_args == (("A", "1"), ("B", "2"))


def test_which_commands_write_to_the_registry() -> None:
    writing = {each.value for each in Command if each.writes}
    assert writing == {"publish", "push", "promote", "rollback", "prune"}


def test_prune_is_a_dry_run_unless_it_is_told() -> None:
    assert parse({"command": "prune"}).dry_run
    assert parse({"command": "prune", "dry-run": "", "dry_run": " "}).dry_run
    assert not parse({"command": "prune", "dry-run": "false"}).dry_run
    assert not parse({"command": "rollback"}).dry_run


def test_a_part_of_an_image_gets_no_shared_tag_whoever_asks_for_it() -> None:
    asked = {"shared_tags": FromFile(True, "feastflow.yml, line 1")}
    assert parse({}, asked).shared_tags
    assert not parse({"part": "linux/arm64"}, asked).shared_tags
    assert not parse({"part": "linux/arm64", "shared-tags": "true"}).shared_tags


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_an_empty_input_is_one_that_is_not_given(blank: str) -> None:
    assert parse(dict.fromkeys(settings.INPUTS, blank)) == parse({})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("command", "pubish", ["'pubish' is not known", 'Perhaps you meant "publish".']),
        ("command", "x", ["Use one of: build, deploy, doctor, init, promote, prune, publish,"]),
        ("registry", "https://docker.io", ["without https://"]),
        ("username", "ada\nlovelace", ["the user name holds", "bare name"]),
        ("namespace", "FeastFlow", ["'FeastFlow' must be lowercase", "'feastflow'"]),
        ("image", "my shop", ["is not valid"]),
        ("context", "/etc", ["not a relative path"]),
        ("dockerfile", "http://x/Dockerfile", ["not a relative path"]),
        ("target", "-", ["a build stage"]),
        ("build-args", "A", ["KEY=value"]),
        ("platforms", "linux/amd64,amd64", ["'amd64' is not a platform"]),
        ("labels", "org.opencontainers.image.source=x", ["where an image comes from"]),
        ("branches", "*", ["first branch"]),
        ("git-tags", "a++", ["GitHub knows"]),
        ("milestone", "latest", ["reserved"]),
        ("latest", "yes", ["Use one of: force, forward, never, release."]),
        ("extra-tags", "edge,{digest}", ["'{digest}' is not known"]),
        ("shared-tags", "no", ["true or false"]),
        ("tag", "commit-a1b2c3d", ["reserved"]),
        ("to", "HEAD~1", ["a name that only git understands", "git rev-parse"]),
        ("manifests", "/etc/k8s", ["not a relative path"]),
        ("keep-days", "-1", ["'-1' is out of range, or not a whole number", "from 0 to 99999"]),
        ("keep-last", "0", ["'0' is out of range"]),
        ("keep", "team/app", ["names no tag and no digest"]),
        ("sha-length", "3", ["7 to 40"]),
        ("reuse", "yes", ["Use one of: commit, never, unchanged."]),
        ("config", "/etc/feastflow.yml", ["not a relative path"]),
        ("services", "frontend,a b", ["'a b' is not a service"]),
        ("services-from", "/etc/passwd", ["not a relative path"]),
        ("secrets", "id=npm,env=A\nid=x", ["'id=x' is not a build secret"]),
        ("cache", "yes", ["'yes' is not a cache", "none, registry"]),
        ("attest", "type=sbom\nmax", ["'max' is not an attestation"]),
        ("reproducible", "yes", ["true or false"]),
        ("smoke-test", "/health", ["not a port and a path", "3000/"]),
        ("builder", "a b", ["docker buildx ls"]),
        ("dry-run", "1", ["true or false"]),
    ],
)
def test_bad_input_names_the_input_the_rule_and_the_fix(
    name: str, text: str, words: list[str]
) -> None:
    with fails(f'input "{name}": ', *words) as caught:
        parse({name: text})
    assert len(caught.value.problems) == 1


def test_all_problems_at_once() -> None:
    with fails() as caught:
        parse({"command": "x", "namespace": "X", "dry-run": "x", "brnaches": "main"})
    causes = [each.cause for each in caught.value.problems]
    assert [each.split(":")[0] for each in causes[:3]] == [
        'input "command"',
        'input "namespace"',
        'input "dry-run"',
    ]
    assert causes[3] == '"brnaches" is not an input of this action.'
    assert caught.value.problems[3].fix == 'Perhaps you meant "branches".'


def test_no_value_is_shown_where_it_could_be_a_secret() -> None:
    with fails() as caught:
        parse({"username": "dckr_pat_secret::", "tokken": "dckr_pat_other"})
    assert "dckr_pat" not in str(caught.value)


@pytest.mark.parametrize("text", ["{cause}", "{fix} {0}", "${{ x }}", "%s"])
def test_braces_in_a_bad_value_are_shown_as_they_are(text: str) -> None:
    with fails(repr(text), "is not known"):
        parse({"command": text})


class TestService:
    @pytest.mark.parametrize(
        ("given", "repository", "name"),
        [
            ({}, "ada/shop", "shop"),
            ({"namespace": "team"}, "team/shop", "shop"),
            ({"image": "web"}, "ada/web", "web"),
            ({"namespace": "team", "image": "front/web"}, "team/front/web", "web"),
            ({"registry": "localhost:5000"}, "localhost:5000/ada/shop", "shop"),
        ],
    )
    def test_where_it_goes(self, given: dict[str, str], repository: str, name: str) -> None:
        found = parse(given).service(namespace="ada", image="Shop")
        assert (str(found.repository), found.name) == (repository, name)

    def test_how_it_is_built(self) -> None:
        given = {
            "context": "app",
            "dockerfile": "D",
            "target": "t",
            "build-args": "A=1",
            "platforms": "linux/amd64",
            "labels": "b=2",
        }
        assert parse(given).service(namespace="ada", image="shop") == Service(
            name="shop",
            repository=Repository(RegistryHost("docker.io"), "ada/shop"),
            context="app",
            dockerfile="D",
            target="t",
            args=(("A", "1"),),
            platforms=("linux/amd64",),
            labels=(("b", "2"),),
        )

    def test_a_user_name_that_cannot_be_a_namespace(self) -> None:
        with fails("'Ada/shop' must be lowercase", "'ada/shop'"):
            parse({}).service(namespace="Ada", image="shop")


class TestOptions:
    def problems(self, *services: Service, **inputs: str) -> list[str]:
        def where(service: str, key: str) -> str:
            return f"{service}.{key}"

        return [str(each) for each in service_options.check(services, parse(inputs), where)]

    def test_what_options_forbid_each_other(self) -> None:
        one = parse({"network": "host", "annotations": "index:a=b"})
        host, index = self.problems(one.service(namespace="ada", image="a"))
        assert host.startswith("a.network: the network host needs")
        assert index.startswith("a.annotations: a has no index")

    def test_an_argument_that_provenance_would_publish(self) -> None:
        one = replace(service("a"), args=(("NPM_TOKEN", "x"), ("NODE", "22")))
        for attest in ("true", "type=provenance", "type=sbom"):
            assert self.problems(one, attest=attest) == []
        (problem,) = self.problems(one, attest="type=provenance,mode=max")
        assert "the build argument NPM_TOKEN of a, which looks like a credential" in problem


def test_an_input_beats_a_file_which_is_named_where_its_value_is_wrong() -> None:
    policy = {
        "latest": FromFile("up", 'feastflow.yml, line 3: "latest"'),
        "reuse": FromFile("all", 'feastflow.yml, line 4: "reuse"'),
    }
    with fails('feastflow.yml, line 3: "latest": ', "Use one of", 'input "reuse": '):
        parse({"reuse": "x"}, policy)
    assert parse({"latest": "never", "reuse": "never"}, policy).latest is Latest.NEVER
    assert parse({}, {"check": FromFile(" \n", "")}) == parse({})
