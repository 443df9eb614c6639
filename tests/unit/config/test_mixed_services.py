"""Inputs of one service beside a file of services."""

from __future__ import annotations

from support.failures import fails

from feastflow_registry.config import file
from feastflow_registry.config.compose import from_bake
from feastflow_registry.config.settings import Settings, option
from feastflow_registry.model.ports import Printed

SERVICES = file.read("feastflow.yml", b"services: {a: }")
POLICY = file.read("feastflow.yml", b"milestone: sprint3")
PRINTED = '{"group": {"default": {"targets": ["a"]}}, "target": {"a": {}}}'
COMPOSE = from_bake("docker-bake.hcl", Printed(0, PRINTED, "", "/copy"))


def test_inputs_of_one_service_beside_services() -> None:
    given = ["image", "build_args", "build-args", "milestone", "services-from"]
    with fails('input "services-from" names a file of services') as caught:
        file.refuse_mixed(SERVICES, given)
    causes = [each.cause for each in caught.value.problems]
    assert causes[:2] == [
        'input "image" describes one service, and feastflow.yml describes them all.',
        'input "build-args" describes one service, and feastflow.yml describes them all.',
    ]
    assert caught.value.problems[1].fix.endswith("in feastflow.yml the key is args.")


def test_what_is_policy_may_be_given() -> None:
    file.refuse_mixed(SERVICES, ["milestone", "services", "smoke-test"])


def test_a_file_of_policy_alone_leaves_the_service_to_the_inputs() -> None:
    file.refuse_mixed(POLICY, file.OF_ONE_SERVICE)
    file.refuse_mixed(POLICY, ["services-from"])


def test_every_input_of_one_service_is_known() -> None:
    with fails() as caught:
        file.refuse_mixed(SERVICES, file.OF_ONE_SERVICE)
    assert len(caught.value.problems) == len(file.OF_ONE_SERVICE)


def test_what_names_the_file_may_stand_beside_what_it_holds() -> None:
    file.refuse_mixed(COMPOSE, ["services-from", "milestone"])
    with fails('input "context" describes one service, and docker-bake.hcl describes them all'):
        file.refuse_mixed(COMPOSE, ["services-from", "context"])


def test_each_is_an_input() -> None:
    assert set(file.OF_ONE_SERVICE) < {option(name) for name in Settings.model_fields}
