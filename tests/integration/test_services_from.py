"""Services from a Compose or Bake file, as the real buildx resolves them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Stack

from feastflow_registry.builder.bake_print import BakeFile
from feastflow_registry.config import compose, settings
from feastflow_registry.config.file import Config
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.services import Secret, Service

Read = Callable[[str], Config]
TOKEN = "dckr_pat_only_for_tests"
IN_JSON = """
{"variable": {"TOKEN": {"default": ""}}, "target": {"default": {"args": {"T": "${TOKEN}"}}}}
"""


@pytest.fixture
def program(
    stack: Stack, docker_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BakeFile:
    """The program over an empty workspace, in an environment that holds a token."""
    found = stack.variables()
    environ = {each: found[each] for each in ("PATH", "DOCKER_HOST")}
    environ |= {"DOCKER_CONFIG": str(docker_config), "TOKEN": TOKEN}
    monkeypatch.setenv("TOKEN", TOKEN)
    (tmp_path / "work").mkdir()
    return BakeFile(tmp_path / "work", environ)


def write(program: BakeFile, name: str, text: str) -> None:
    path = program.workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def read(program: BakeFile, name: str, text: str) -> Config:
    write(program, name, text)
    return compose.read(name, str(program.workspace), program.print)


def refused(program: BakeFile, name: str, text: str) -> Failure:
    with pytest.raises(Failure) as caught:
        read(program, name, text)
    assert caught.value.kind is Kind.INPUT
    for problem in caught.value.problems:
        assert problem.cause.endswith(".")
        assert problem.fix.endswith(".")
        assert "\n" not in str(problem)
    return caught.value


def test_a_compose_file(program: BakeFile) -> None:
    text = """
        services:
          web:
            image: docker.io/feastflow/feastflow-web:${TAG}
            ports: ["${PORT}:3000"]
            environment: {PASSWORD: "${PASSWORD}"}
            build:
              context: ./web
              dockerfile: docker/Dockerfile
              target: runtime
              args: {ZIP: "0012345", DOLLAR: "$${x} $$y", DEFAULTED: "${NOT_SET:-x}", ABSENT: }
              labels: {maintainer: ada}
              platforms: [linux/amd64]
              secrets: [npm, file]
              ssh: [default]
              additional_contexts: {base: "service:base", up: "docker-image://alpine"}
              pull: true
              no_cache: true
              cache_from: [feastflow/cache]
          base: {build: .}
          database: {image: postgres}
        secrets:
          npm: {environment: NPM_TOKEN}
          file: {file: ./npmrc}
        """
    (program.workspace / "npmrc").touch()
    found = read(program, "compose.yaml", text)
    assert found.where("web") == "compose.yaml: services.web"
    hub = RegistryHost("docker.io")
    web, base = sorted(found.build(settings.parse({}), "ada"), key=lambda each: -len(each.args))
    assert web == Service(
        name="web",
        repository=Repository(hub, "ada/feastflow-web"),
        context="web",
        dockerfile="docker/Dockerfile",
        target="runtime",
        args=(("DEFAULTED", "x"), ("DOLLAR", "${x} $y"), ("ZIP", "0012345")),
        labels=(("maintainer", "ada"),),
        platforms=("linux/amd64",),
        secrets=(Secret("npm", variable="NPM_TOKEN"), Secret("file", "npmrc")),
        ssh=("default",),
        contexts=(("base", "service:base"), ("up", "docker-image://alpine")),
        pull=True,
        no_cache=True,
    )
    assert base == Service("base", Repository(hub, "ada/base"))


def test_paths_in_a_compose_file_start_at_its_folder(program: BakeFile) -> None:
    write(program, "shared/base.yaml", "services:\n  base:\n    build: {context: ../web}\n")
    text = """
        services:
          web: {build: {context: ../web, additional_contexts: {lib: ../lib}}}
          own: {build: .}
          extended: {extends: {file: ../shared/base.yaml, service: base}}
        """
    found = read(program, "deploy/compose.yml", text).services
    assert {name: each.context for name, each in found.items()} == {
        "web": "web",
        "own": "deploy",
        "extended": "web",
    }
    assert found["web"].additional_contexts == {"lib": "lib"}


def test_a_bake_file(program: BakeFile) -> None:
    text = """
        variable "VERSION" { default = "1" }
        group "default" { targets = ["all", "base"] }
        group "all" { targets = ["web"] }
        target "_common" { args = { VERSION = VERSION } }
        target "web" {
          name = "web-${flavour}"
          matrix = { flavour = ["a", "b"] }
          inherits = ["_common"]
          contexts = { base = "target:base" }
          args = { FLAVOUR = "${flavour} $${kept}" }
          output = ["type=registry"]
          attest = ["type=sbom"]
        }
        target "base" { context = "base" }
        """
    found = read(program, "docker-bake.hcl", text).services
    assert list(found) == ["web-a", "web-b", "base"]
    assert found["web-b"].args == {"FLAVOUR": "b ${kept}", "VERSION": "1"}
    assert found["web-b"].additional_contexts == {"base": "service:base"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docker-bake.hcl", 'variable "TOKEN" {}\ntarget "default" {\n args = { T = TOKEN }\n}'),
        ("docker-bake.json", IN_JSON),
        ("compose.yaml", 'services: {default: {build: {context: ., args: {T: "${TOKEN-}"}}}}'),
        ("compose.yaml", "services: {default: {build: {context: ., args: [TOKEN, T=]}}}"),
    ],
)
def test_a_template_does_not_see_the_environment(program: BakeFile, name: str, text: str) -> None:
    assert read(program, name, text).services["default"].args == {"T": ""}


def test_a_template_gives_data_and_nothing_else(program: BakeFile) -> None:
    text = r"""
        target "default" {
          args = {
            SUM = "${1+1}"
            KEPT = "$${1+1} %%{if true}x%%{endif}"
            QUOTE = "\"}, \u001b[31m"
          }
          output = ["type=local,dest=/tmp/feastflow-was-here"]
        }
        """
    failure = refused(program, "docker-bake.hcl", text)
    assert "services.default.args.QUOTE" in str(failure)
    found = read(program, "docker-bake.hcl", text.replace(r"\u001b", "$(id)"))
    assert found.services["default"].args == {
        "SUM": "2",
        "KEPT": "${1+1} %{if true}x%{endif}",
        "QUOTE": '"}, $(id)[31m',
    }
    assert not Path("/tmp/feastflow-was-here").exists()


def test_a_variable_of_the_images_that_is_not_set(program: BakeFile) -> None:
    text = """
        services:
          web:
            ports: ["${PORT}:80"]
            build: {context: "${FOLDER}", args: {A: "${ONE}", B: "${TWO:-x}", C: "${ONE} ${TWO}"}}
        """
    causes = [each.cause for each in refused(program, "compose.yaml", text).problems]
    assert causes == [
        f"compose.yaml: the variable {name} is not set, as the environment is not seen."
        for name in ("FOLDER", "ONE", "TWO")
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("compose.yaml", "", ["compose.yaml: buildx cannot read it: ", "bake definition"]),
        ("compose.yaml", "services: [", ["is no Compose file of up to 1 MiB"]),
        ("compose.yaml", "services: {a: {build: .}, a: {build: .}}", ["already defined"]),
        ("compose.yaml", "services: {a: {image: redis}}", ["describes nothing to build"]),
        ("compose.yaml", "services: {a: {build: {bogus: 1}}}", ["'bogus' not allowed"]),
        ("compose.yaml", "services: {a: {build: '${X?it is due}'}}", ["required variable X"]),
        ("compose.yaml", "services: {a: {build: /etc}}", ["'/etc' is not a relative path"]),
        (
            "compose.yaml",
            "services: {a: {build: {context: ., network: host, shm_size: 1g}}}",
            ["services.a: network is not", "services.a: shm-size is not"],
        ),
        (
            "compose.yaml",
            "services: {a: {build: {context: ., dockerfile_inline: FROM x}}}",
            ["dockerfile-inline is not supported"],
        ),
        ("docker-bake.hcl", 'target "a" {', ["docker-bake.hcl:1", "See it with"]),
        ("docker-bake.hcl", 'target "a" {}', ["does not say which targets", 'group "default"']),
        (
            "docker-bake.hcl",
            'target "b" {}\ntarget "default" {\n contexts = { b = "target:b" }\n}',
            ["it is built from 'b'"],
        ),
    ],
)
def test_what_is_refused(program: BakeFile, name: str, text: str, words: list[str]) -> None:
    failure = refused(program, name, text)
    for word in words:
        assert word in str(failure)


def test_a_file_that_is_not_there_or_not_inside(program: BakeFile, tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text("services: {a: {build: .}}")
    (program.workspace / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (program.workspace / "loop.yaml").symlink_to("loop.yaml")
    (program.workspace / "folder.yaml").mkdir()
    for name, word in {
        "missing.yaml": "there is no file 'missing.yaml'",
        "no/folder.hcl": "there is no file 'no/folder.hcl'",
        "folder.yaml": "there is no file",
        "loop.yaml": "there is no file",
        "link.yaml": "'link.yaml' lies outside the repository",
        "../outside.yaml": "'../outside.yaml' lies outside the repository",
    }.items():
        with pytest.raises(Failure, match=word):
            compose.read(name, str(program.workspace), program.print)


def test_a_file_that_prints_too_much(program: BakeFile) -> None:
    text = 'target "default" {\n args = { A = "%s" }\n}' % ("x" * 2_000_000)
    assert "'docker-bake.hcl' prints more than 1 MiB" in str(
        refused(program, "docker-bake.hcl", text)
    )


@pytest.mark.parametrize(
    ("does", "word"), [("sleep 60", "takes too long"), ("yes", "prints more than 1 MiB")]
)
def test_a_program_that_does_not_end(program: BakeFile, does: str, word: str) -> None:
    plugin = program.workspace / "plugin"
    plugin.write_text(f"#!/bin/sh\ntouch started\nexec {does}\n")
    docker = program.workspace / "docker"
    docker.write_text(f"#!/bin/sh\necho {plugin}\n")
    for each in (plugin, docker):
        each.chmod(0o755)
    environ = {"PATH": f"{program.workspace}:/usr/bin:/bin"}
    endless = replace(program, environ=environ, seconds=2.0)
    assert word in str(refused(endless, "docker-bake.hcl", ""))
    assert (program.workspace / "started").exists()


def test_a_machine_without_docker(program: BakeFile) -> None:
    nowhere = replace(program, environ={"PATH": "/nonexistent"})
    write(program, "compose.yaml", "services: {a: {build: .}}")
    with pytest.raises(Failure, match="docker with buildx is not installed") as caught:
        compose.read("compose.yaml", str(program.workspace), nowhere.print)
    assert caught.value.kind is Kind.BUILD


def test_nothing_is_left_behind(program: BakeFile, tmp_path: Path) -> None:
    read(program, "compose.yaml", "services: {a: {build: .}}")
    assert [each.name for each in program.workspace.iterdir()] == ["compose.yaml"]
