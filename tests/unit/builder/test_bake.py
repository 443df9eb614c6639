from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import SHOP, service

from feastflow_registry.builder import bake
from feastflow_registry.builder.bake import escape, secret_variable, target_names
from feastflow_registry.model.plan import BuildImage
from feastflow_registry.model.references import Reference, Tag
from feastflow_registry.model.services import Annotation, BuildOptions, Secret, Service

TAG = Reference(SHOP.repository, Tag("commit-1234567"))
DOCKER = "type=docker"


def build(of: Service = SHOP, *labels: tuple[str, str], **words: Any) -> BuildImage:
    return BuildImage(of, (TAG,), labels, **words)


def definition(images: Sequence[BuildImage], outputs: Mapping[str, str] | None = None) -> Any:
    """What Bake is given, as it reads it."""
    outputs = outputs or {each.service.name: DOCKER for each in images}
    return json.loads(bake.definition(images, outputs, target_names(images)))


def target(image: BuildImage) -> Any:
    """The one target of a definition."""
    return definition([image])["target"][image.service.name]


def unescape(text: str) -> str:
    """As HCL reads a template: "
    "https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#template-expressions."""
    assert not re.search(r"(?<!\$)\$\{|(?<!%)%\{", text)
    return text.replace("$${", "${").replace("%%{", "%{")


def test_a_plain_service() -> None:
    assert definition([build(SHOP, ("a", "b"))]) == {
        "target": {
            "shop": {
                "context": ".",
                "dockerfile": "Dockerfile",
                "labels": {"a": "b"},
                "tags": ["ada/shop:commit-1234567"],
                "output": [DOCKER],
            }
        },
    }


def test_everything_a_service_may_say() -> None:
    full = replace(
        SHOP,
        context="app",
        dockerfile="docker/Dockerfile",
        target="runtime",
        args=(("A", "1"),),
        platforms=("linux/amd64", "linux/arm64"),
    )
    found = target(build(full))
    assert found["context"] == "app"
    assert found["dockerfile"] == "docker/Dockerfile"
    assert found["target"] == "runtime"
    assert found["args"] == {"A": "1"}
    assert found["platforms"] == ["linux/amd64", "linux/arm64"]
    assert "labels" not in found


def test_how_its_steps_are_run() -> None:
    run = BuildOptions(
        network="host",
        shm_size=1024,
        ulimits=("nofile=1:2",),
        entitlements=("network.host", "device=a"),
        extra_hosts=(("a", "10.0.0.1,::1"),),
        no_cache_filter=("deps",),
    )
    found = target(build(replace(SHOP, options=run)))
    assert found["network"] == "host"
    assert found["shm-size"] == "1024"
    assert found["ulimits"] == ["nofile=1:2"]
    assert found["entitlements"] == ["network.host", "device=a"]
    assert found["extra-hosts"] == {"a": "10.0.0.1,::1"}
    assert found["no-cache-filter"] == ["deps"]


def test_what_the_targets_are_granted_is_named_once() -> None:
    granted = {"a": ("network.host",), "b": ("device", "network.host"), "c": ()}
    of = [
        build(replace(service(name), options=BuildOptions(entitlements=words)))
        for name, words in granted.items()
    ]
    written = bake.definition(of, dict.fromkeys("abc", DOCKER), target_names(of))
    assert bake.entitlements(written) == ["device", "network.host"]


def test_annotations_stand_at_their_level() -> None:
    given = (Annotation("index", "a", "${x}"), Annotation("manifest[linux/amd64]", "b", "c=d"))
    found = target(build(annotations=given))
    assert found["annotations"] == ["index:a=$${x}", "manifest[linux/amd64]:b=c=d"]


def test_further_outputs_are_those_of_what_is_asked_for() -> None:
    base = replace(BASE, outputs=("type=local,dest=base",))
    outputs = ("type=local,dest=out", "type=tar,dest=${homedir()}/%{x}")
    app = replace(SHOP, contexts=(("base", "service:ba.se"),), outputs=outputs)
    found = definition([build(app, needs=(base,))])["target"]
    escaped = "type=tar,dest=$${homedir()}/%%{x}"
    assert found["shop"]["output"] == ["type=local,dest=out", escaped, DOCKER]
    assert found["ba_se"]["output"] == ["type=cacheonly"]


def test_an_image_that_is_pushed_by_digest_has_no_tag() -> None:
    output = "type=image,push-by-digest=true,name=ada/shop,push=true"
    found = definition([build()], {"shop": output})["target"]["shop"]
    assert "tags" not in found
    assert found["output"] == [output]


def test_no_text_of_the_user_is_evaluated() -> None:
    hostile = "${BAKE_CMD_CONTEXT} %{ if true } $${x}"
    of = replace(
        SHOP,
        context=hostile,
        dockerfile=hostile,
        args=(("A", hostile), (hostile, "key")),
        contexts=(("c", hostile), (hostile, "key")),
        secrets=(Secret("s", file=hostile),),
        ssh=(f"id={hostile}",),
    )
    found = target(build(of, ("l", hostile)))
    texts = [found["context"], found["dockerfile"], found["args"]["A"], found["labels"]["l"]]
    texts += [found["contexts"]["c"], *found["secret"], *found["ssh"]]
    texts += [
        key for each in ("args", "contexts") for key, value in found[each].items() if value == "key"
    ]
    assert len(texts) == 9
    for text in texts:
        assert "$${BAKE_CMD_CONTEXT} %%{ if true }" in text


@given(st.text(alphabet="a{}"))
def test_text_without_a_template_is_left_alone(text: str) -> None:
    assert escape(text) == text


@pytest.mark.parametrize(
    "text", ["${a}", "%{a}", "a${", "100%", "$", "${${a}}", "a$ {b}", "$${a}", "$$${a}", "%%{a}"]
)
def test_escape_is_undone_by_bakes_own_reading(text: str) -> None:
    assert unescape(escape(text)) == text


def test_target_names_are_bakes_and_all_different() -> None:
    services = [replace(SHOP, name=name) for name in ("a.b", "a_b", "a_b_", "c-d")]
    names = target_names([build(each) for each in services])
    assert list(names) == ["a.b", "a_b", "a_b_", "c-d"]
    assert len(set(names.values())) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", each) for each in names.values())
    assert names["c-d"] == "c-d"


def test_each_target_has_its_own_services_output() -> None:
    services = [service("a.b"), service("a_b")]
    outputs = {each.name: f"type=docker,name={each.name}" for each in services}
    found = definition([build(each) for each in services], outputs)
    assert [each["output"] for each in found["target"].values()] == [
        ["type=docker,name=a.b"],
        ["type=docker,name=a_b"],
    ]


def test_the_options_of_a_build() -> None:
    of = replace(SHOP, ssh=("default", "git=keys/id"), no_cache=True)
    found = target(
        build(
            of,
            cache_from=("type=registry,ref=r/a:buildcache", "type=local,src=${x}"),
            cache_to=("type=registry,ref=r/a:buildcache,mode=max", "type=inline"),
            attest=("type=provenance,mode=min", "type=sbom"),
            pull=True,
        )
    )
    assert found["ssh"] == ["default", "git=keys/id"]
    assert (found["pull"], found["no-cache"]) == (True, True)
    assert found["cache-from"] == ["type=registry,ref=r/a:buildcache", "type=local,src=$${x}"]
    assert found["cache-to"] == ["type=registry,ref=r/a:buildcache,mode=max", "type=inline"]
    assert found["attest"] == ["type=provenance,mode=min", "type=sbom"]


def test_a_secret_is_a_file_or_a_variable_of_our_naming() -> None:
    secrets = (Secret("npm", file="a/.npmrc"), Secret("auth", variable="DOCKER_AUTH_CONFIG"))
    found = target(build(replace(SHOP, secrets=secrets)))["secret"]
    variable = secret_variable("DOCKER_AUTH_CONFIG")
    assert variable != "DOCKER_AUTH_CONFIG"
    assert found == ["type=file,id=npm,src=a/.npmrc", f"type=env,id=auth,env={variable}"]


@given(st.text(alphabet="a ,\"='", min_size=1))
def test_a_secrets_path_is_one_field_as_buildx_reads_it(path: str) -> None:
    [text] = target(build(replace(SHOP, secrets=(Secret("s", file=path),))))["secret"]
    assert next(csv.reader([text])) == ["type=file", "id=s", f"src={path}"]


@pytest.mark.parametrize(
    ("args", "epoch", "expected"),
    [
        ((), None, None),
        ((), 0, "0"),
        ((), 1700000000, "1700000000"),
        ((("SOURCE_DATE_EPOCH", "1"),), 1700000000, "1"),
        ((("SOURCE_DATE_EPOCH", "1"),), None, "1"),
    ],
)
def test_the_epoch_is_a_build_argument(
    args: tuple[tuple[str, str], ...], epoch: int | None, expected: str | None
) -> None:
    found = target(build(replace(SHOP, args=args), epoch=epoch))
    assert found.get("args", {}).get("SOURCE_DATE_EPOCH") == expected


BASE = replace(service("ba.se"), args=(("A", "1"),), platforms=("linux/s390x",))
TWO = ("linux/amd64", "linux/arm64")


def test_a_service_that_is_built_too_is_linked() -> None:
    app = replace(SHOP, contexts=(("base", "service:ba.se"), ("files", "shared")))
    found = definition([build(app, needs=(BASE,)), build(BASE)])
    assert found["target"]["shop"]["contexts"] == {"base": "target:ba_se", "files": "shared"}
    assert found["target"]["ba_se"]["output"] == [DOCKER]
    assert found["target"]["ba_se"]["platforms"] == ["linux/s390x"]


def test_a_service_that_is_not_built_is_linked_and_goes_nowhere() -> None:
    app = replace(SHOP, contexts=(("base", "service:ba.se"),), platforms=TWO)
    other = replace(service("other"), contexts=app.contexts, platforms=TWO[1:])
    found = definition([build(each, needs=(BASE,), epoch=5) for each in (app, other)])
    assert found["target"]["ba_se"] == {
        "context": ".",
        "dockerfile": "Dockerfile",
        "args": {"SOURCE_DATE_EPOCH": "5", "A": "1"},
        "platforms": list(TWO),
        "output": ["type=cacheonly"],
    }


def test_what_is_linked_is_of_the_builders_platform_where_nothing_asks_for_another() -> None:
    app = replace(SHOP, contexts=(("base", "service:ba.se"),))
    assert "platforms" not in definition([build(app, needs=(BASE,))])["target"]["ba_se"]


def test_base_images_are_looked_up_again_where_the_plan_says_so() -> None:
    for pull in (True, False):
        found = target(build(replace(SHOP, pull=not pull), pull=pull))
        assert found.get("pull", False) is pull
