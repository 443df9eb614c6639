"""Services from a Compose or Bake file, as the real buildx resolves them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest import Stack
from support.soak import chosen, one_in

from feastflow_registry.builder.bake_print import BakeFile
from feastflow_registry.config import compose, settings
from feastflow_registry.config.file import Config
from feastflow_registry.git.worktree import read_file
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.ports import Printed
from feastflow_registry.model.references import RegistryHost, Repository
from feastflow_registry.model.services import BuildOptions, Secret, Service, check_together, select

TOKEN = "dckr_pat_only_for_tests"
IN_JSON = """
{"variable": {"TOKEN": {"default": ""}}, "target": {"default": {"args": {"T": "${TOKEN}"}}}}
"""


@dataclass(frozen=True)
class Source:
    """A workspace, and the program that resolves its files. ``untracked``: what git ignores."""

    workspace: Path
    program: BakeFile
    untracked: Sequence[str] = ()

    def read(self, path: str, *, most: int) -> bytes | None:
        return read_file(self.workspace, path, most=most)

    def tracks(self, path: str) -> bool:
        return path not in self.untracked

    def print_bake(
        self, files: Mapping[str, bytes], file: str, folder: str, variables: Mapping[str, str]
    ) -> Printed:
        return self.program.print(files, file, folder, variables)


@pytest.fixture
def program(
    stack: Stack, docker_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Source:
    """The program over an empty workspace, in an environment that holds a token."""
    found = stack.variables()
    environ = {each: found[each] for each in ("PATH", "DOCKER_HOST")}
    environ |= {"DOCKER_CONFIG": str(docker_config), "TOKEN": TOKEN}
    monkeypatch.setenv("TOKEN", TOKEN)
    (tmp_path / "work").mkdir()
    return Source(tmp_path / "work", BakeFile(tmp_path / "work", environ))


def write(program: Source, name: str, text: str) -> None:
    path = program.workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def read(program: Source, name: str, text: str) -> Config:
    write(program, name, text)
    return compose.read(name, program)


def refused(program: Source, name: str, text: str) -> Failure:
    with pytest.raises(Failure) as caught:
        read(program, name, text)
    assert caught.value.kind is Kind.INPUT
    for problem in caught.value.problems:
        assert problem.cause.endswith(".")
        assert problem.fix.endswith(".")
        assert "\n" not in str(problem)
    return caught.value


def test_a_compose_file(program: Source) -> None:
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
              no_cache_filter: [deps]
              network: host
              entitlements: [device]
              shm_size: 64mb
              ulimits: {nproc: "${LIMIT:-5}", nofile: {soft: 1, hard: 2}}
              extra_hosts: ["cache=10.0.0.7", "cache=[::1]"]
              cache_from: [feastflow/cache]
          base: {build: .}
          database: {image: postgres}
        secrets:
          npm: {environment: NPM_TOKEN}
          file: {file: "${FOLDER:-.}/npmrc"}
        """
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
        options=BuildOptions(
            network="host",
            shm_size=64 * 1024**2,
            ulimits=("nofile=1:2", "nproc=5:5"),
            entitlements=("network.host", "device"),
            extra_hosts=(("cache", "10.0.0.7,::1"),),
            no_cache_filter=("deps",),
        ),
        cache_sources=("type=registry,ref=feastflow/cache",),
    )
    assert base == Service("base", Repository(hub, "ada/base"))


def test_paths_in_a_compose_file_start_at_its_folder(program: Source) -> None:
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


def test_a_bake_file(program: Source) -> None:
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
    chosen(
        [
            (
                "docker-bake.hcl",
                'variable "TOKEN" {}\ntarget "default" {\n args = { T = TOKEN }\n}',
            ),
            ("docker-bake.json", IN_JSON),
            ("compose.yaml", 'services: {default: {build: {context: ., args: {T: "${TOKEN-}"}}}}'),
            ("compose.yaml", "services: {default: {build: {context: ., args: [TOKEN, T=]}}}"),
        ]
    ),
)
def test_a_template_does_not_see_the_environment(program: Source, name: str, text: str) -> None:
    assert read(program, name, text).services["default"].args == {"T": ""}


def test_a_template_gives_data_and_nothing_else(program: Source) -> None:
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


def test_a_variable_of_the_images_that_is_not_set(program: Source) -> None:
    text = """
        services:
          web:
            ports: ["${PORT}:80"]
            build: {context: "${FOLDER}", args: {A: "${ONE}", B: "${TWO:-x}", C: "${ONE} ${TWO}"}}
        """
    causes = [each.cause for each in refused(program, "compose.yaml", text).problems]
    assert causes == [
        f"compose.yaml: the variable {name} has no value: the environment is not read."
        for name in ("FOLDER", "ONE", "TWO")
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    one_in(
        3,
        [
            ("compose.yaml", "", ["describes nothing to build"]),
            ("compose.yaml", "services: [", ["compose.yaml, line 1"]),
            ("compose.yaml", "services: {a: {build: .}, a: {build: .}}", ["'a' is there twice"]),
            (
                "compose.yaml",
                "services: {a: {build: ., extends: {file: compose.yaml, service: a}}}",
                ["Circular reference"],
            ),
            ("compose.yaml", "services: {a: {image: redis}}", ["describes nothing to build"]),
            ("compose.yaml", "services: {a: {build: {bogus: 1}}}", ["'bogus' not allowed"]),
            (
                "compose.yaml",
                "services: {a: {build: '${X?it is due}'}}",
                ["variable X has no value"],
            ),
            ("compose.yaml", "services: {a: {build: /etc}}", ["'/etc' is not a relative path"]),
            (
                "compose.yaml",
                "services: {a: {build: {context: ., network: shop_default, ulimits: {x: 1}}}}",
                ["services.a.network: 'shop_default' is not", "services.a.ulimits: 'x' is not"],
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
    ),
)
def test_what_is_refused(program: Source, name: str, text: str, words: list[str]) -> None:
    failure = refused(program, name, text)
    for word in words:
        assert word in str(failure)


def test_a_file_that_is_not_there_or_not_inside(program: Source, tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text("services: {a: {build: .}}")
    (program.workspace / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (program.workspace / "loop.yaml").symlink_to("loop.yaml")
    (program.workspace / "folder.yaml").mkdir()
    for name, word in {
        "missing.yaml": "there is no file 'missing.yaml'",
        "no/folder.hcl": "there is no file 'no/folder.hcl'",
        "folder.yaml": "'folder.yaml' is not a file of the repository",
        "loop.yaml": "'loop.yaml' is not a file of the repository",
        "link.yaml": "'link.yaml' is not a file of the repository",
        "../outside.yaml": "'../outside.yaml' is not a file of the repository",
    }.items():
        with pytest.raises(Failure, match=word):
            compose.read(name, program)


def test_a_file_that_prints_too_much(program: Source) -> None:
    text = 'variable "A" { default = "%s" }\n' % ("x" * 400_000)
    text += 'target "default" {\n args = { A = A, B = A, C = A }\n}'
    assert "'docker-bake.hcl' prints more than 1 MiB" in str(
        refused(program, "docker-bake.hcl", text)
    )


@pytest.mark.parametrize(
    ("does", "word"), [("sleep 60", "takes buildx too long"), ("yes", "prints more than 1 MiB")]
)
def test_a_program_that_does_not_end(program: Source, does: str, word: str) -> None:
    plugin = program.workspace / "plugin"
    plugin.write_text(f"#!/bin/sh\ntouch {program.workspace}/started\nexec {does}\n")
    docker = program.workspace / "docker"
    docker.write_text(f"#!/bin/sh\necho {plugin}\n")
    for each in (plugin, docker):
        each.chmod(0o755)
    environ = {"PATH": f"{program.workspace}:/usr/bin:/bin"}
    endless = replace(program, program=BakeFile(program.workspace, environ, seconds=2.0))
    assert word in str(refused(endless, "docker-bake.hcl", ""))
    assert (program.workspace / "started").exists()


def test_a_machine_without_docker(program: Source) -> None:
    nowhere = replace(program, program=BakeFile(program.workspace, {"PATH": "/nonexistent"}))
    write(program, "compose.yaml", "services: {a: {build: .}}")
    with pytest.raises(Failure, match="docker with buildx is not installed") as caught:
        compose.read("compose.yaml", nowhere)
    assert caught.value.kind is Kind.BUILD


def test_nothing_is_left_behind(program: Source, tmp_path: Path) -> None:
    read(program, "compose.yaml", "services: {a: {build: .}}")
    assert [each.name for each in program.workspace.iterdir()] == ["compose.yaml"]


def services(program: Source, text: str, name: str = "compose.yaml") -> dict[str, Service]:
    found = read(program, name, text)
    return {each.name: each for each in found.build(settings.parse({}), "ada")}


@pytest.mark.parametrize(
    ("text", "expected"),
    chosen(
        [
            # getsentry/self-hosted, mastodon/mastodon
            (
                """
            x-app: &app {image: org/app, build: .}
            services:
              web: {<<: *app, command: web}
              worker: {<<: *app, command: worker}
            """,
                {"web": ("worker",)},
            ),
            # https://github.com/docker/compose/issues/7343
            (
                """
            services:
              my-web:
                image: web:${TAG}
                build: {cache_from: ["web:${TAG}", web:latest], context: web}
              my-web-saver:
                image: web:${TAG}
                build: {cache_from: ["web:${TAG}", web:latest], context: web}
            """,
                {"my-web": ("my-web-saver",)},
            ),
            # https://github.com/Dayotter/dayotter/pull/7
            (
                """
            services:
              worker: {image: "dayotter-app:local", build: {dockerfile: apps/worker/Dockerfile}}
              migrate: {extends: worker, command: migrate}
              web: {image: "dayotter-web:local", build: {dockerfile: apps/web/Dockerfile}}
              cron: {image: "dayotter-app:local"}
            """,
                {"worker": ("migrate",), "web": ()},
            ),
        ]
    ),
)
def test_services_that_are_one_build_and_one_image(
    program: Source, text: str, expected: Mapping[str, Sequence[str]]
) -> None:
    found = services(program, text)
    assert {name: each.aliases for name, each in found.items()} == expected
    for name, each in found.items():
        for one in (name, *each.aliases):
            assert select(tuple(found.values()), [one]) == (each,)


@pytest.mark.parametrize(
    "text",
    one_in(
        3,
        [
            # immich-app/immich, mastodon/mastodon
            """
        services:
          web: {image: org/web, build: ., env_file: [.env]}
          db: {image: "postgres:16", environment: {POSTGRES_PASSWORD: "${DB_PASSWORD}"}}
        """,
            # https://github.com/docker/buildx/issues/903, https://github.com/docker/compose/pull/11274
            """
        services:
          web: {image: org/web, build: ., env_file: [{path: ./missing/vars}, /etc/hostname]}
          db: {image: "postgres:${PG:?set it}", ports: ["${PORT}:5432"], scale: "${N}"}
        """,
            # docker/awesome-compose, openradx/adit
            """
        services:
          web:
            image: "org/web:${TAG:?set it}"
            build: .
            environment: {SECRET: "${SECRET:?set it}", DB_PASSWORD: }
            deploy: {replicas: "${N:?}", resources: {limits: {memory: "${MEMORY}"}}}
        secrets: {x: {file: "${FOLDER:?set it}/x"}}
        """,
        ],
    ),
)
@pytest.mark.parametrize("dotenv", ["", "DB_PASSWORD=secret\nTAG=2\n"])
def test_what_only_containers_see_keeps_nothing_from_being_planned(
    program: Source, text: str, dotenv: str
) -> None:
    if dotenv:
        write(program, ".env", dotenv)
    assert services(replace(program, untracked=[".env"]), text) == {
        "web": Service("web", Repository(RegistryHost("docker.io"), "ada/web"))
    }


def test_variables_of_included_and_extended_files(program: Source) -> None:
    write(program, "one/compose.yaml", 'services: {one: {build: {target: "${STAGE:-a}"}}}')
    write(program, "two.yaml", 'services: {two: {build: {args: {V: "${VERSION-1}"}}}}')
    text = """
        include: [one/compose.yaml]
        services: {two: {extends: {file: two.yaml, service: two}}}
        """
    found = services(program, text)
    assert (found["one"].target, found["two"].args) == ("a", (("V", "1"),))
    assert (found["one"].context, found["two"].context) == ("one", ".")
    for path, line in {"one/.env": "STAGE=b", ".env": "VERSION=2"}.items():
        write(program, path, line)
        with pytest.raises(Failure, match=f"takes variables from {path}, which git does not track"):
            read(replace(program, untracked=[path]), "compose.yaml", text)
        assert services(program, text) != found
        (program.workspace / path).unlink()


@pytest.mark.parametrize(
    ("text", "platforms"),
    one_in(
        4,
        [
            ("services: {web: {platform: linux/arm64, build: .}}", ("linux/arm64",)),
            # https://github.com/docker/buildx/issues/759
            ("services: {web: {build: {context: .}, platform: linux/amd64}}", ("linux/amd64",)),
            # https://github.com/docker/compose/issues/9853
            (
                "services: {b: {platform: linux/amd64, build: ., profiles: [x]},web: {extends: b}}",
                ("linux/amd64",),
            ),
            (
                "services: {web: {platform: '${P:-linux/arm/v7}', build: {labels: [a=b]}}}",
                ("linux/arm/v7",),
            ),
            (
                "services: {web: {platform: linux/x86_64, build: {platforms: [linux/amd64]}}}",
                ("linux/amd64",),
            ),
            # https://github.com/docker/compose/issues/8840
            ("services: {web: {build: .}} # default", ("linux/s390x",)),
            ("services: {web: {build: ., platform: linux/arm64}} # default", ("linux/arm64",)),
            ("services: {web: {build: .}}", ()),
        ],
    ),
)
def test_the_platform_of_a_service(program: Source, text: str, platforms: Sequence[str]) -> None:
    if "default" in text:
        write(program, ".env", "DOCKER_DEFAULT_PLATFORM=linux/s390x\n")
    assert services(program, text)["web"].platforms == platforms


@pytest.mark.parametrize(
    ("text", "word"),
    one_in(
        3,
        [
            ("platform: linux/arm46, build: .", "'linux/arm46' is not a platform"),
            ("platform: linux/arm64, build: {platforms: [linux/amd64]}", "not in platforms of its"),
            ("build: {privileged: true}", "services.web: privileged is not supported"),
            ("build: {isolation: hyperv}", "services.web: isolation is not supported"),
            ("build: {entitlements: [insecure]}", "services.web.entitlements.item 1: 'insecure'"),
            ("build: {no_cache_filter: [$$]}", "services.web.no_cache_filter.item 1: '$' is not"),
            ("build: {secrets: [{source: s, target: t}]}", "services.web: secrets.target is not"),
        ],
    ),
)
def test_what_buildx_drops_and_compose_honours(program: Source, text: str, word: str) -> None:
    text = f"services: {{web: {{{text}}}}}\nsecrets: {{s: {{environment: S}}}}"
    assert word in str(refused(program, "compose.yaml", text))


def test_the_image_is_what_compose_says(program: Source) -> None:
    found = services(program, "services: {a: {image: org/web, build: {tags: [org/extra:1]}}}")
    assert found["a"].repository.name == "web"


def test_a_file_that_includes_itself(program: Source) -> None:
    text = "include: [compose.yaml]\nservices: {a: {build: .}}"
    assert "'compose.yaml' includes 'compose.yaml'" in str(refused(program, "compose.yaml", text))


PAGE = Path(__file__).resolve().parents[2] / "docs/compose.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL)


def said(service: Service) -> str:
    also = f" (also {', '.join(service.aliases)})" if service.aliases else ""
    args = f" with {', '.join('='.join(each) for each in service.args)}" if service.args else ""
    where = f" for {', '.join(service.platforms)}" if service.platforms else ""
    made = f"{service.context}/{service.dockerfile}"
    return f"{service.name}{also}: {service.repository.name} from {made}{args}{where}"


@pytest.mark.parametrize(("text", "expected"), EXAMPLES)
def test_what_the_page_shows_is_what_comes_of_it(program: Source, text: str, expected: str) -> None:
    try:
        config = read(program, "compose.yaml", text)
        found = config.build(settings.parse({}), "ada")
        lines = [str(each) for each in check_together(found, config.where)]
        lines = lines or [said(each) for each in found]
    except Failure as failure:
        lines = [str(each) for each in failure.problems]
    assert "\n".join(lines) == expected.strip()


def test_the_page_has_an_example_of_everything() -> None:
    assert len(EXAMPLES) == PAGE.read_text().count("```yaml") == 6
