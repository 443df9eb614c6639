"""What is read of Compose files, and what is left of them for buildx."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from support.failures import fails

from feastflow_registry.config.compose_files import CARRIED, ComposeFiles, gather
from feastflow_registry.model.errors import Failure, Kind

DEFAULT = {f"{CARRIED}default-platform": "${DOCKER_DEFAULT_PLATFORM-}"}


def gathered(name: str = "compose.yaml", /, **files: str) -> ComposeFiles:
    """Gather files; two underscores in a name are a slash, and one is a dot."""
    paths = {key.replace("__", "/").replace("_", "."): text for key, text in files.items()}

    def read(path: str) -> bytes | None:
        if path == "link.yaml":
            raise Failure(Kind.INPUT, "it leads out.", "Remove it.")
        return paths[path].encode() if path in paths else None

    return gather(name, read)


def cut(text: str) -> Any:
    """What is left of one file, as YAML reads it."""
    left = gathered(compose_yaml=text).texts["compose.yaml"]
    return yaml.load(left, Loader=yaml.BaseLoader)


def cut_service(text: str) -> Any:
    """What is left of the one service, a."""
    return cut(f"services: {{a: {text}}}")["services"]["a"]


@pytest.mark.parametrize(
    "more",
    [
        # https://github.com/docker/compose/pull/11274, https://github.com/docker/buildx/issues/903
        "env_file: [.env, ../elsewhere, /etc/passwd]",
        "environment: {PASSWORD: '${PASSWORD:?it is due}'}",
        "environment: [PASSWORD]",
        "ports: ['${PORT}:80']",
        "scale: '${N}'",
        "deploy: {replicas: '${N:?}', resources: {limits: {cpus: '${CPUS}'}}}",
        "label_file: missing",
        "depends_on: !reset [db]",
        "volumes: ['./x:/x:${MODE:?}']",
        "command: ['a', !!binary x]",
    ],
)
def test_what_only_containers_see_is_not_there(more: str) -> None:
    found = cut(f"""
        name: shop
        version: "3"
        x-app: {{a: "${{B:?}}"}}
        services:
          a: {{build: ., {more}}}
          db: {{image: "postgres:${{VERSION:?}}", {more}}}
        networks: {{a: {{name: "${{NET:?}}"}}}}
        secrets: {{db: {{file: "${{SECRETS:?}}/db"}}}}
        """)
    assert found == {
        "name": "shop",
        "services": {"a": {"build": {"context": ".", "labels": DEFAULT}}},
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{image: org/a, build: .}", {"image": "org/a"}),
        ("{platform: linux/arm64, build: {context: .}}", {"platform": "linux/arm64"}),
        ("{platform: '${P:-linux/arm64}', build: .}", {"platform": "${P:-linux/arm64}"}),
        ("{build: {context: ., privileged: true}}", {"privileged": "true"}),
        ("{build: {context: ., isolation: '${I}'}}", {"isolation": "${I}"}),
        (
            "{build: {context: ., entitlements: [network.host, '${E}']}}",
            {"entitlements.network.host": "network.host", "entitlements.${E}": "${E}"},
        ),
        ("{build: {context: ., no_cache_filter: deps}}", {"no_cache_filter.deps": "deps"}),
        ("{build: {context: ., no_cache_filter: [], entitlements: }}", {}),
        (
            "{build: {context: ., secrets: [x, {source: y, target: z}, {source: v, target: v}]}}",
            {"secrets.target": "z"},
        ),
        ("{build: {context: ., secrets: [x, {source: y}]}, platform: , image: ~}", {}),
    ],
)
def test_what_buildx_leaves_aside_is_carried(text: str, expected: Mapping[str, str]) -> None:
    found = cut_service(text)["build"]
    carried = {f"{CARRIED}{key}": value for key, value in expected.items()}
    assert found["labels"] == {**DEFAULT, **carried}
    assert found["context"] == "."
    assert not {"privileged", "isolation", "entitlements", "no_cache_filter"} & found.keys()


@pytest.mark.parametrize("value", ["{}", "[{a: b}]", "[[a]]"])
def test_a_list_that_is_none(value: str) -> None:
    with fails("'compose.yaml' has no_cache_filter that is not a list of texts"):
        cut_service(f"{{build: {{context: ., no_cache_filter: {value}}}}}")


def test_limits_are_carried_with_both_of_their_numbers() -> None:
    limits = "{nproc: '${N}', nofile: {soft: 1, hard: '${H}'}, core: {soft: 1}, data: [1]}"
    build = cut_service(f"{{build: {{context: ., ulimits: {limits}}}}}")["build"]
    carried = {"nproc": "${N}", "nofile": "1:${H}", "core": "1:", "data": "1"}
    expected = {f"{CARRIED}ulimits.{name}": f"{name}={text}" for name, text in carried.items()}
    assert build == {"context": ".", "labels": {**DEFAULT, **expected}}


def test_a_word_in_quotes_is_a_value() -> None:
    assert cut_service("{build: 'null'}")["build"]["context"] == "null"


def test_labels_keep_their_form() -> None:
    assert cut_service("{build: {context: ., labels: {a: b, c: }}}")["build"]["labels"] == {
        **DEFAULT,
        "a": "b",
        "c": "null",
    }
    [default] = [f"{key}={value}" for key, value in DEFAULT.items()]
    found = cut_service("{image: x, build: {context: ., labels: ['a=b']}}")["build"]["labels"]
    assert found == ["a=b", f"{CARRIED}image=x", default]


def test_what_a_service_without_a_build_carries_is_no_build() -> None:
    found = cut(
        "services: {a: {extends: b, image: org/a}, b: {build: .}, c: {extends: {service: d}}, d: }"
    )
    assert found["services"]["a"] == {
        "image": "org/a",
        "extends": "b",
        "build": {"labels": {f"{CARRIED}image": "org/a"}},
    }
    assert found["services"]["c"] == {"extends": {"service": "d"}}
    assert "d" not in found["services"]


def test_what_is_extended_stays() -> None:
    found = cut("services: {a: {extends: {service: b}, build: .}, b: {image: x}, c: {image: y}}")
    assert list(found["services"]) == ["a", "b"]


def test_secrets_of_builds_stay() -> None:
    found = cut("""
        services: {a: {build: {context: ., secrets: [x, {source: y}]}}}
        secrets: {x: {file: ./x}, y: {environment: Y}, z: {file: "${Z:?}"}}
        """)
    assert found["secrets"] == {"x": {"file": "./x"}, "y": {"environment": "Y"}}


def test_files_of_secrets_are_there_and_empty() -> None:
    files = gathered(
        "deploy/compose.yaml",
        deploy__compose_yaml="""
            services: {a: {build: {context: ., secrets: [a, b, c, d, e]}}}
            secrets:
              a: {file: ../npmrc}
              b: {file: "${FOLDER:-keys}/b"}
              c: {file: "${FOLDER}/c"}
              d: {file: /etc/passwd}
              e: {environment: E}
              f: {file: unused}
            """,
    )
    empty = {path for path, text in files.texts.items() if not text}
    assert empty == {"npmrc", "deploy/keys/b"}


def test_merged_keys_are_those_of_the_service() -> None:
    found = cut("""
        x-build: &build {context: x, target: y}
        x-app: &app {image: org/app, build: {<<: *build, target: z}, env_file: .env}
        services: {a: {<<: *app}, b: {<<: [{image: org/b}, *app]}, c: *app}
        """)["services"]
    image = {f"{CARRIED}image": "org/app"}
    build = {"context": "x", "target": "z", "labels": {**image, **DEFAULT}}
    assert found["a"] == found["c"] == {"image": "org/app", "build": build}
    assert found["b"]["image"] == "org/b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"),
        ("1.10", "1.10"),
        ("0123", "0123"),
        ("-1", "-1"),
        ("'1.10'", '"1.10"'),
        ("22:22", '"22:22"'),
        ("a b, c", '"a b, c"'),
        ("", "null"),
        ("~", "~"),
        ("|\n     x\n     y", '"x\\ny\\n"'),
        ("!!str 1", "!<tag:yaml.org,2002:str> 1"),
        ("[a, {b: c}]", "[a, {b: c}]"),
        ("{<<: {x: 1}, y: 2}", "{<<: {x: 1}, y: 2}"),
        ("!override [x]", "!<!override> [x]"),
    ],
)
def test_a_value_stays_what_it_is_to_yaml(text: str, expected: str) -> None:
    files = gathered(compose_yaml=f"services:\n a:\n  build:\n   args:\n    X: {text}\n")
    assert f'"args": {{X: {expected}}}' in files.texts["compose.yaml"].decode()


def test_the_files_that_a_file_names() -> None:
    files = gathered(
        "deploy/compose.yaml",
        deploy__compose_yaml="""
            include:
              - ../a/compose.yaml
              - {path: [../b/one.yaml, ../b/two.yaml], env_file: [../b/vars.env, /dev/null]}
              - {path: ../c/compose.yaml, project_directory: ../d}
            services: {own: {build: .}, x: {extends: {file: ../e/base.yaml, service: x}}}
            """,
        deploy___env="A=1",
        a__compose_yaml="services: {a: {build: .}}",
        a___env="A=2",
        b__one_yaml="services: {b: {build: .}}",
        b__two_yaml="services: {b: {build: ., image: b}}",
        b__vars_env="A=3",
        b___env="A=not read",
        c__compose_yaml="services: {c: {extends: {file: base.yaml, service: c}}}",
        c___env="A=not read",
        d__base_yaml="services: {c: {build: .}}",
        d___env="A=4",
        e__base_yaml="include: [gone.yaml]\nservices: {x: {extends: {file: top.yaml, service: y}}}",
        e__top_yaml="services: {y: {build: .}}",
        e___env="A=not read",
    )
    folders = {"deploy/compose.yaml", "a/compose.yaml", "b/one.yaml", "b/two.yaml"}
    folders |= {"c/compose.yaml", "d/base.yaml", "e/base.yaml", "e/top.yaml"}
    assert set(files.texts) == folders
    assert set(files.variables) == {"deploy/.env", "a/.env", "b/vars.env", "d/.env"}
    assert files.services == ("own", "x", "a", "b", "c", "y")


def test_a_file_that_is_named_twice_is_no_circle() -> None:
    files = gathered(
        compose_yaml="""
            include: [a.yaml, b.yaml]
            services: {x: {extends: {file: a.yaml, service: c}}}
            """,
        a_yaml="include: [c.yaml]",
        b_yaml="include: [c.yaml]",
        c_yaml="services: {c: {build: ., extends: {file: compose.yaml, service: y}}}",
    )
    assert files.services == ("x", "c")


@pytest.mark.parametrize(
    ("files", "who"),
    [
        ({"compose_yaml": "include: [compose.yaml]"}, "'compose.yaml' includes 'compose.yaml'"),
        ({"compose_yaml": "include: [./x/../compose.yaml]"}, "includes 'compose.yaml'"),
        (
            {"compose_yaml": "include: [a.yaml]", "a_yaml": "include: [{path: compose.yaml}]"},
            "'a.yaml' includes 'compose.yaml', which includes it",
        ),
    ],
)
def test_a_file_that_includes_itself(files: dict[str, str], who: str) -> None:
    with fails(who, "feastflow.yml instead"):
        gathered(**files)


LEADS_OUT: Mapping[str, Any] = {
    "include": {"include": ["../outside"]},
    "a long include": {"include": [{"path": ["sub/../../outside"]}]},
    "an include's variables": {"include": [{"path": "inner.yaml", "env_file": "../outside"}]},
    "an include's folder": {"include": [{"path": "inner.yaml", "project_directory": ".."}]},
    "extends": {"services": {"a": {"extends": {"file": "../outside", "service": "b"}}}},
    "a whole path": {"include": ["/etc/hostname"]},
    "a link": {"include": ["link.yaml"]},
    "an address": {"include": ["https://example.com/a.git"]},
    "a registry": {"include": ["oci://example.com/a"]},
    "no path": {"include": ["a\0b"]},
    "what an include includes": {"include": ["nested.yaml"]},
}


@pytest.mark.parametrize("name", LEADS_OUT)
def test_what_leads_out_is_refused(name: str) -> None:
    files = {"compose_yaml": json.dumps(LEADS_OUT[name]), "inner_yaml": "{}"}
    with fails('input "services-from": ', "lies outside the repository"):
        gathered(nested_yaml=json.dumps({"include": ["../outside"]}), **files)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"compose_yaml": "include: ['${X:-/etc/passwd}']"}, ["whose path holds a variable"]),
        ({"compose_yaml": "include: [$X/a.yaml]"}, ["'$X/a.yaml'", "holds a variable"]),
        (
            {"compose_yaml": "services: {a: {extends: {file: '${X}', service: b}}}"},
            ["holds a variable"],
        ),
        ({"compose_yaml": "include: [a.yaml]"}, ["reads 'a.yaml', which is not there"]),
        ({"compose_yaml": "include: [{path: a.yaml, env_file: x}]"}, ["reads 'a.yaml', which is"]),
        (
            {"compose_yaml": "a: 1", "_env": "x" * (1024 * 1024 + 1)},
            ["'.env'", "larger than 1 MiB"],
        ),
        ({"compose_yaml": "a: b: c"}, ["compose.yaml, line 1"]),
        ({"compose_yaml": f"a: {'[' * 101}{']' * 101}"}, ["compose.yaml, line 1"]),
        ({"compose_yaml": "a: 1\n---\nb: 1"}, ["compose.yaml, line "]),
        ({"compose_yaml": "services: {a: {build: .}, a: {build: x}}"}, ["key 'a' is there twice"]),
        (
            {"compose_yaml": "services: {a: {build: ., x: !reset }, b: {build: !reset null}}"},
            ["line 1: !reset is not supported at this place"],
        ),
        ({"compose_yaml": "services: {a: !override {build: .}}"}, ["!override is not supported"]),
        ({"compose_yaml": "services: {a: {build: {labels: !reset {}}}}"}, ["!reset is not"]),
    ],
)
def test_what_else_is_refused(files: dict[str, str], words: list[str]) -> None:
    with fails(*words):
        gathered(**files)


def test_how_many_files_are_read() -> None:
    files = {f"f{n}_yaml": f"include: [f{n + 1}.yaml]" for n in range(150)}
    with fails("'f98.yaml' reads more than 100 files"):
        gathered(compose_yaml="include: [f0.yaml]", **files)
