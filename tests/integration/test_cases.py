"""Small inputs of others that went wrong once: those that no other file holds. See `cases.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.machine import Machine
from support.registries import REPOSITORY, LocalRegistry
from support.soak import chosen, one_in

# As much of one as fits into the 72 bytes of bcrypt.
KEY = json.dumps({"type": "service_account", "key": "--BEGIN\nx\n--END\n"}, indent=1)


@pytest.mark.parametrize("event", chosen(["push", "workflow_dispatch"]))
def test_master_is_published_where_it_is_the_default_branch(
    machine: Machine, place: LocalRegistry, event: str
) -> None:
    """https://github.com/docker/metadata-action/issues/147, …/171"""
    sha = machine.project.head[:7]
    facts: dict[str, Any] = {"event": event, "ref": "refs/heads/master"}
    ran = machine.call(machine.runner(**facts)).ended()
    assert ran.outputs["pushed"] == "false"
    assert (
        'branch master is not among the branches that may push (the input "branches": main)'
        in ran.log
    )
    assert "the input <code>branches</code>" in ran.summary
    facts["payload"] = {"repository": {"default_branch": "master"}}
    machine.call(machine.runner(**facts)).ended()
    assert place.tags().keys() == {f"commit-{sha}", "latest"}


@pytest.mark.parametrize("place", one_in(3, ["htpasswd", "token"]), indirect=True)
@pytest.mark.parametrize(
    ("user", "namespace", "repository"),
    [
        ("_json_key", "team", "team/web"),
        ("AWS", "/", "web"),
        ("robot$shop+ci", "shop", "shop/web"),
    ],
)
def test_users_that_are_no_namespace(
    machine: Machine, place: LocalRegistry, user: str, namespace: str, repository: str
) -> None:
    """https://github.com/buildkite-plugins/docker-login-buildkite-plugin/issues/70 (a key of
    several lines), https://github.com/goharbor/harbor/issues/15757 (robots), ECR's user.
    """
    token = KEY if user == "_json_key" else place.token
    place.registry.admit({user: token})
    if place.tokens:
        place.tokens.admit({user: token}, None)
    given: dict[str, Any] = {"username": user, "token": token, "image": "web"}
    [error] = machine.call(machine.runner(**given)).ended(2).errors
    assert "cannot be the namespace" in error
    assert place.proxy.requests == ()
    ran = machine.call(machine.runner(**given, namespace=namespace)).ended()
    assert ran.outputs["pushed"] == "true"
    assert "latest" in place.tags(repository)
    assert "BEGIN" not in ran.shown


@pytest.mark.parametrize(
    "text",
    one_in(
        3,
        [
            '{"auths": {"other.example.com": {"auth": "bm9jb2xvbg=="}}}',
            '{"auths": {"other.example.com": {"auth": null}, "x": null}}',
            '{"auth": null, "auths": [], "credHelpers": 1}',
            "[]",
            "{",
        ],
    ),
)
def test_what_other_tools_left_in_dockers_configuration(
    machine: Machine, place: LocalRegistry, tmp_path: Path, text: str
) -> None:
    """https://github.com/docker/docker-py/issues/927, …/627"""
    (tmp_path / "config.json").write_text(text)
    options = ["--registry", place.host, "--image", REPOSITORY.rpartition("/")[2]]
    environ: dict[str, Any] = {"DOCKER_CONFIG": str(tmp_path)}
    for command in ("tags", "publish"):
        ran = machine.run(machine.laptop(**environ), command, *options, "--dry-run")
        assert ran.code == 0, ran.log
    ran = machine.run(machine.laptop(credentials=False, **environ), "publish", *options)
    assert ran.code == 2
    assert "run `docker login " in ran.log
