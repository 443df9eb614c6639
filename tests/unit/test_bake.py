from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feastflow_registry.bake import definition, escape, target_names
from feastflow_registry.plan import BuildImage
from feastflow_registry.references import Reference, Tag
from feastflow_registry.services import Service

from .publishing import SHOP, service

TAG = Reference(SHOP.repository, Tag("commit-1234567"))
DOCKER = "type=docker"


def build(of: Service = SHOP, *labels: tuple[str, str]) -> BuildImage:
    return BuildImage(of, (TAG,), labels)


def unescape(text: str) -> str:
    """As HCL reads a template: https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#template-expressions."""
    assert not re.search(r"(?<!\$)\$\{|(?<!%)%\{", text)
    return text.replace("$${", "${").replace("%%{", "%{")


def test_a_plain_service() -> None:
    assert json.loads(definition([build(SHOP, ("a", "b"))], {"shop": DOCKER})) == {
        "group": {"default": {"targets": ["shop"]}},
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
    found = json.loads(definition([build(full)], {"shop": DOCKER}))["target"]["shop"]
    assert found["context"] == "app"
    assert found["dockerfile"] == "docker/Dockerfile"
    assert found["target"] == "runtime"
    assert found["args"] == {"A": "1"}
    assert found["platforms"] == ["linux/amd64", "linux/arm64"]
    assert "labels" not in found


def test_an_image_that_is_pushed_by_digest_has_no_tag() -> None:
    output = "type=image,push-by-digest=true,name=ada/shop,push=true"
    found = json.loads(definition([build()], {"shop": output}))["target"]["shop"]
    assert "tags" not in found
    assert found["output"] == [output]


def test_no_text_of_the_user_is_evaluated() -> None:
    hostile = "${BAKE_CMD_CONTEXT} %{ if true } $${x}"
    of = replace(SHOP, context=hostile, dockerfile=hostile, args=(("A", hostile),))
    found = json.loads(definition([build(of, ("l", hostile))], {"shop": DOCKER}))["target"]["shop"]
    for text in (found["context"], found["dockerfile"], found["args"]["A"], found["labels"]["l"]):
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
    found = json.loads(definition([build(each) for each in services], outputs))
    assert found["group"]["default"]["targets"] == list(found["target"])
    assert [each["output"] for each in found["target"].values()] == [
        ["type=docker,name=a.b"],
        ["type=docker,name=a_b"],
    ]
