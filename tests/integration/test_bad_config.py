"""Configurations that cannot be published: all that is wrong, each with its line and its fix."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.failures import check_shown
from support.machine import Machine, Ran
from support.registries import USER
from support.soak import chosen, one_in

from feastflow_registry.config import file

DOCKERFILE = "FROM scratch\nCOPY . /\n"


def lay_out(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in {"a/Dockerfile": DOCKERFILE, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def refused(machine: Machine, files: Mapping[str, str], **inputs: Any) -> list[str]:
    """What the program says of files, having sent nothing."""
    lay_out(machine.project.folder, files)
    ran = machine.call(machine.runner(**inputs)).ended(2)
    assert machine.place.proxy.requests == ()
    assert machine.place.token not in ran.shown
    for error in ran.errors:
        check_shown(error)
    return ran.errors


SERVICES = """\
milestone: Sprint 3
services:
  one: {image: shop, context: a}
  two: {image: shop, context: a}
  three: {context: ../x}
  four: {context: a, image: f4, additional_contexts: {x: "service:five"}}
  five: {context: a, additional_contexts: {x: "service:four"}}
  six: {context: a, dockerfile: None, secrets: ["id=t,env=DOCKERHUB_TOKEN"]}
  seven: {context: a, secrets: ["id=u,env=UNSET", "id=f,src=../secret", "id=n,src=none"]}
  eight: {context: none, watch: [typo], additional_contexts: {x: "service:fuor"}}
"""


def test_all_that_is_wrong_with_the_services_at_once(machine: Machine) -> None:
    lay_out(machine.project.folder, {"feastflow.yml": SERVICES})
    ran = machine.call(machine.runner(latest="up")).ended(2)
    told = ran.shown  # GitHub shows ten annotations, so some are plain lines.
    assert machine.place.proxy.requests == ()
    for words in (
        "feastflow.yml, line 1: \"milestone\": 'Sprint 3' is not a valid image tag.",
        "input \"latest\": 'up' is not known.",
        "line 4: services.two.image: ",
        "line 5: services.three.context: '../x' lies outside the repository.",
        "line 8: services.six.dockerfile: there is no file 'a/None'.",
        "line 8: services.six.secrets: the secret t is the token of this program",
        "line 9: services.seven.secrets: the secret u names the variable UNSET, which this",
        "line 9: services.seven.secrets: '../secret' lies outside the repository.",
        "line 9: services.seven.secrets: there is no 'none'.",
        "line 10: services.eight.context: there is no folder 'none'.",
        "line 10: services.eight.watch: there is no 'typo'.",
        "line 10: services.eight.additional_contexts: 'fuor' is no service.",
    ):
        assert words in told, words
    assert 'Perhaps you meant "four".' in told


def test_a_cycle(machine: Machine) -> None:
    services = "\n".join(line for line in SERVICES.splitlines() if "eight" not in line)
    told = "\n".join(refused(machine, {"feastflow.yml": services}))
    assert "line 6: services.four.additional_contexts: service four is built from itself" in told


def test_a_service_that_is_not_known(machine: Machine) -> None:
    files = {"feastflow.yml": "services:\n  one: {context: a}\n  two: {context: none}\n"}
    told = "\n".join(refused(machine, files, services="one, tow"))
    assert 'input "services": there is no service \'tow\'.\nPerhaps you meant "two".' in told
    assert "there is no folder 'none'" in told


def test_a_service_without_dockerfile(machine: Machine) -> None:
    files = {"feastflow.yml": "services:\n  x: {context: b}\n", "b/page.html": ""}
    (error,) = refused(machine, files)
    assert error.startswith("feastflow.yml, line 2: services.x.dockerfile: there is no file")


@pytest.mark.parametrize(
    "name", chosen(["image", "context", "dockerfile", "target", "build_args"], 2)
)
@pytest.mark.parametrize("source", ["feastflow.yml", "compose.yaml"])
def test_an_input_of_one_service_beside_a_file_of_many(
    machine: Machine, name: str, source: str
) -> None:
    files = {
        "feastflow.yml": "services:\n  x: {context: a}\n",
        "compose.yaml": "services:\n  x: {build: a}\n",
    }
    inputs = {name: "A=1" if name == "build_args" else "a"}
    given = {} if source == "feastflow.yml" else {"services_from": source}
    told = "\n".join(refused(machine, {source: files[source]}, **inputs, **given))
    assert f'input "{name.replace("_", "-")}" describes one service' in told
    assert f"{source} describes them all" in told


def test_the_token_in_the_file(machine: Machine) -> None:
    text = f"services:\n  x: {{context: a, args: {{T: {machine.place.token}}}}}\n"
    (error,) = refused(machine, {"feastflow.yml": text})
    assert "feastflow.yml holds the registry token." in error


def test_the_token_in_a_secret_of_another_name(machine: Machine) -> None:
    services = 'services:\n  x: {context: a, secrets: ["id=a,env=OTHER", "id=b,src=pass"]}\n'
    lay_out(machine.project.folder, {"feastflow.yml": services, "pass": machine.place.token})
    environ = {**machine.runner(), "OTHER": machine.place.token}
    ran = machine.call(environ).ended(2)
    assert len([e for e in ran.errors if "is the token of this program" in e]) == 2
    assert machine.place.token not in ran.shown
    assert machine.place.proxy.requests == ()


@pytest.mark.parametrize(
    ("text", "words"),
    one_in(
        3,
        [
            ("", "feastflow.yml is empty."),
            ("a" * 10_000_000, "feastflow.yml is larger than"),
            ("services: [\n", "feastflow.yml, line "),
            ("services:\n  a: {context: a}\n  a: {context: a}\n", "feastflow.yml, line 3: "),
            ("services:\n  a: {context: a, target: no}\n", 'Quote it: "no".'),
            ("services:\n  a: {context: a, image: 1.10}\n", 'Quote it: "1.10".'),
            ("services:\n  a: {context: a, args: {Z: 0012345}}\n", 'Quote it: "0012345".'),
            ("servces: {}\n", 'Perhaps you meant "services".'),
            ("services:\n  a: {contxt: a}\n", 'Perhaps you meant "context".'),
            ("[" * 5000, "feastflow.yml"),
            ("a: &a [1]\nb: &b [*a, *a]\n", "feastflow.yml"),
        ],
    ),
    ids=lambda text: text[:20],
)
def test_a_file_that_cannot_be_one(machine: Machine, text: str, words: str) -> None:
    assert words in "\n".join(refused(machine, {"feastflow.yml": text}))


def test_a_file_that_is_not_there(machine: Machine) -> None:
    (error,) = refused(machine, {}, config="ci/feastflow.yml")
    assert "there is no file 'ci/feastflow.yml'" in error


@pytest.mark.parametrize("kind", ["link", "folder", "loop"])
def test_a_file_that_is_none(machine: Machine, kind: str) -> None:
    path = machine.project.folder / "feastflow.yml"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/etc/hostname" if kind == "link" else path)
    (error,) = refused(machine, {})
    assert "is not a file of the repository" in error


def test_a_cache_that_services_would_share(machine: Machine) -> None:
    text = "services:\n  x: {context: a}\n  y: {context: a}\n"
    (error,) = refused(machine, {"feastflow.yml": text}, cache="type=local,dest=.cache")
    assert "overwrite each other's cache" in error


def test_an_argument_that_provenance_would_publish(machine: Machine) -> None:
    text = "attest: type=provenance,mode=max\nservices:\n  x: {context: a, args: {TOKEN: x}}\n"
    (error,) = refused(machine, {"feastflow.yml": text})
    assert "TOKEN of x, which looks like a credential" in error


@pytest.mark.parametrize(
    ("name", "text", "words"),
    one_in(
        3,
        [
            (
                "compose.yaml",
                'services:\n  web: {build: {context: a, args: {V: "${VERSION}"}}}\n',
                "the variable VERSION has no value",
            ),
            (
                "docker-bake.hcl",
                'target "default" {\n  context = "a"\n  call = "check"\n}\n',
                "call is not supported",
            ),
            (
                "docker-bake.hcl",
                'target "default" {\n  context = "a"\n  secret = ["id=x,src=/etc/shadow"]\n}\n',
                "'/etc/shadow' is not a relative path",
            ),
            ("compose.yaml", "services: {web: {image: x}}\n", "compose.yaml"),
            ("compose.yaml", "services: [\n", "compose.yaml"),
        ],
    ),
)
def test_a_file_of_another_program(machine: Machine, name: str, text: str, words: str) -> None:
    assert words in "\n".join(refused(machine, {name: text}, services_from=name))


def test_variables_that_no_commit_tells_of(machine: Machine) -> None:
    text = 'services: {web: {build: {context: a, target: "${STAGE:-}"}}}\n'
    files = {"compose.yaml": text, ".env": "STAGE=x\n"}
    (error,) = refused(machine, files, services_from="compose.yaml")
    assert "compose.yaml takes variables from .env, which git does not track." in error
    machine.project.git("add", "-f", ".env")
    ran = machine.call(machine.runner(services_from="compose.yaml", dry_run="true"))
    assert "which git does not track" not in ran.log


def dry_run(machine: Machine, files: dict[str, str], **inputs: Any) -> Ran:
    """What is planned of files that are committed, but for what .gitignore names."""
    machine.project.commit(files)
    return machine.call(machine.runner(dry_run="true", **inputs)).ended()


@pytest.mark.parametrize("services", chosen(["", "web", "worker"]))
def test_two_services_of_one_build(machine: Machine, services: str) -> None:
    text = """
x-app: &app {image: org/app, build: .}
services:
  web: {<<: *app, command: web}
  worker: {<<: *app, command: worker}
"""
    files = {"compose.yaml": text, "Dockerfile": "FROM scratch\n"}
    ran = dry_run(machine, files, services_from="compose.yaml", services=services)
    assert ran.log.count("build ") == 1
    assert "/app:commit-" in ran.log


@pytest.mark.parametrize("dotenv", chosen(["", "DB_PASSWORD=x\n"]))
def test_variables_that_only_containers_see(machine: Machine, dotenv: str) -> None:
    text = """
services:
  web: {image: org/web, build: ., env_file: [.env]}
  db: {image: postgres, environment: {POSTGRES_PASSWORD: "${DB_PASSWORD}"}}
"""
    if dotenv:
        lay_out(machine.project.folder, {".env": dotenv})
    files = {"compose.yaml": text, "Dockerfile": "FROM scratch\n", ".gitignore": ".env\n"}
    assert "/web:commit-" in dry_run(machine, files, services_from="compose.yaml").log


@pytest.mark.parametrize("source", ["input", "feastflow.yml", "compose.yaml"])
def test_a_platform_that_nobody_knows(machine: Machine, source: str) -> None:
    files = {
        "Dockerfile": "FROM scratch\nCOPY Dockerfile /\n",
        "feastflow.yml": "services: {x: {platforms: [linux/amd46]}}\n",
        "compose.yaml": "services: {x: {platform: linux/amd46, build: .}}\n",
    }
    given = {"input": {"platforms": "linux/amd46"}, "compose.yaml": {"services_from": source}}
    kept = {name: text for name, text in files.items() if name in ("Dockerfile", source)}
    (error,) = refused(machine, kept, **given.get(source, {}))
    assert "Perhaps you meant linux/amd64." in error


def test_a_first_file_of_a_repository_as_it_is(machine: Machine) -> None:
    copies = "FROM busybox\nCOPY src/ad/file /\nCOPY --from=shared x /\n"
    files = {
        "src/ad/Dockerfile": copies,
        "src/ad/file": "x",
        "src/cart/genproto/Dockerfile": "FROM scratch\n",
        "src/checkout/genproto/Dockerfile": "FROM scratch\n",
        "shared/x": "x",
        "Dockerfile-minimal": "FROM scratch\n",
        "tools/Containerfile": "FROM scratch\n",
    }
    machine.project.commit(files)
    machine.start(machine.laptop(), "init").end().ended()
    found = file.read("feastflow.yml", (machine.project.folder / "feastflow.yml").read_bytes())
    services = found.services
    assert {"ad", "cart-genproto", "checkout-genproto", "minimal", "tools"} <= services.keys()
    assert (services["ad"].context, services["ad"].dockerfile) == (".", "src/ad/Dockerfile")
    assert services["ad"].additional_contexts == {"shared": "shared"}
    assert services["minimal"].dockerfile == "Dockerfile-minimal"
    assert services["tools"].dockerfile == "Containerfile"


@pytest.mark.parametrize(
    "name",
    ["FEASTFLOW_TOKEN", "FEASTFLOW_GITHUB_TOKEN", "DOCKERHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN"],
)
def test_a_token_of_this_program_is_no_secret_of_a_build(machine: Machine, name: str) -> None:
    lay_out(
        machine.project.folder,
        {"feastflow.yml": f'services:\n  x: {{context: a, secrets: ["id=t,env={name}"]}}\n'},
    )
    ran = machine.call({**machine.runner(), name: machine.place.token}).ended(2)
    assert "the secret t is the token of this program" in ran.errors[0]
    assert machine.place.proxy.requests == ()


def test_the_token_in_another_form(machine: Machine) -> None:
    form = base64.b64encode(f"{USER}:{machine.place.token}".encode()).decode()
    text = f"services:\n  x: {{context: a, args: {{T: {form}}}}}\n"
    (error,) = refused(machine, {"feastflow.yml": text})
    assert "feastflow.yml holds the registry token." in error


def test_services_that_bake_takes_for_one(machine: Machine) -> None:
    text = "services: {w.x: {build: a}, w_x: {build: a}}\n"
    (error,) = refused(machine, {"compose.yaml": text}, services_from="compose.yaml")
    assert "Bake reads the services w.x and w_x as one service." in error


def test_a_template_only_ever_yields_data(machine: Machine) -> None:
    evil = machine.folder / "evil"
    text = (
        f'target "default" {{\n  context = "a"\n  output = ["type=local,dest={evil}"]\n'
        '  args = { X = "${1+1}", Y = "$${HOME}" }\n}\n'
    )
    lay_out(machine.project.folder, {"docker-bake.hcl": text})
    ran = machine.call(machine.runner(services_from="docker-bake.hcl", dry_run="true")).ended()
    assert "build " in ran.log
    assert not evil.exists()


@pytest.mark.parametrize(
    "facts", [{"event": "pull_request", "ref": "refs/pull/1/merge"}, {"actor": "dependabot[bot]"}]
)
def test_a_run_that_is_given_no_secrets_builds_without(
    machine: Machine, facts: Mapping[str, Any]
) -> None:
    services = 'services:\n  x: {context: a, secrets: ["id=u,env=UNSET"]}\n'
    lay_out(machine.project.folder, {"feastflow.yml": services, "a/page": "1"})
    inputs = {"username": "", "token": ""}
    ran = machine.call(machine.runner(**{**facts, **inputs})).ended()
    assert "built" in ran.log
    assert ran.outputs["pushed"] == "false"
