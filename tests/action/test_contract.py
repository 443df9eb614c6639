"""action.yml, the program, the lock file and the workflows cannot disagree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from feastflow_registry.config import settings
from feastflow_registry.config.command_line import PREFIX
from feastflow_registry.config.settings import INPUTS, option
from feastflow_registry.model.plan import Command, Permission, Plan
from feastflow_registry.model.references import Commit
from feastflow_registry.report import results

ROOT = Path(__file__).resolve().parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
INSTALL, RUN = STEPS
SECRETS = {"token", "also-credentials", "github-token", "cache-token"}
FIELDS = {option(name): field for name, field in INPUTS.items()}
UNSAID = {
    "config",
    "services",
    "working-directory",
    "context",
    "platforms",
    "image",
    "namespace",
    "builder",
    "buildkit-image",
    "registries",
}
LITERAL = [
    name
    for name, field in FIELDS.items()
    if "Default: " in str(field.description) and name not in UNSAID
]
CALLER: dict[Any, Any] = yaml.safe_load((ROOT / "workflows/registry-ci.yml").read_text())
MATRIX: dict[Any, Any] = yaml.safe_load((ROOT / "workflows/registry-ci-matrix.yml").read_text())
PLATFORMS: dict[Any, Any] = yaml.safe_load(
    (ROOT / "workflows/registry-ci-platforms.yml").read_text()
)
MATRICES = pytest.mark.parametrize("matrix", [MATRIX, PLATFORMS], ids=["services", "platforms"])
WORKFLOWS = [*sorted((ROOT / "workflows").glob("*.yml")), ROOT / ".github/workflows/ci.yml"]
OURS: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())


def test_the_inputs_are_the_settings_and_the_secrets() -> None:
    assert list(ACTION["inputs"]) != []
    assert set(ACTION["inputs"]) == set(FIELDS) | SECRETS


@pytest.mark.parametrize("name", FIELDS)
def test_an_input_is_described_as_its_setting_is(name: str) -> None:
    assert ACTION["inputs"][name]["description"] == FIELDS[name].description


@pytest.mark.parametrize("name", FIELDS)
def test_an_input_is_empty_by_default_so_that_the_file_is_heard(name: str) -> None:
    assert ACTION["inputs"][name]["default"] == ""


@pytest.mark.parametrize("name", LITERAL)
def test_the_description_names_the_default_of_the_setting(name: str) -> None:
    said = str(FIELDS[name].description).partition(" Default: ")[2].removesuffix(".")
    found = settings.parse({name: said})
    assert getattr(found, name.replace("-", "_")) == FIELDS[name].default


def test_every_input_reaches_the_program_once() -> None:
    expected = {
        PREFIX + name.replace("-", "_").upper(): f"${{{{ inputs.{name} }}}}"
        for name in ACTION["inputs"]
    }
    assert {key: value for key, value in RUN["env"].items() if "inputs." in value} == expected


def test_the_step_that_installs_sees_no_input() -> None:
    assert "env" not in INSTALL


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["id"])
def test_no_expression_is_pasted_into_a_script(step: dict[str, Any]) -> None:
    assert "${{" not in step["run"]
    assert "\n" not in step["run"].strip()


def test_no_shell_stays_behind_with_the_secrets() -> None:
    assert RUN["run"].startswith("exec ")


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_a_container_without_python_gets_a_sentence(tmp_path: Path, shell: str) -> None:
    code, said = install_step(tmp_path, shell)
    assert code == 2
    assert said == (
        "::error::There is no python3 on this runner, or in the job's container.%0ATake an image "
        "with Python 3.11 or newer, or put actions/setup-python before this step.\n"
    )


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_where_there_is_python_no_shell_stays_before_it(tmp_path: Path, shell: str) -> None:
    python = tmp_path / "bin/python3"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "$PPID" "$@"\nexit 7\n')
    python.chmod(0o755)
    arguments = f"-I -S {tmp_path}/bootstrap.py install"
    assert install_step(tmp_path, shell) == (7, f"{os.getpid()} {arguments}\n")


def install_step(folder: Path, shell: str) -> tuple[int, str]:
    """Run the first step as the runner does: `sh -e FILE`; what it says."""
    program = shutil.which(shell)
    if not program:
        pytest.skip(f"there is no {shell}")
    script = folder / "step.sh"
    script.write_text(INSTALL["run"])
    done = subprocess.run(
        [program, *(["sh"] if shell == "busybox" else []), "-e", script],
        env={"PATH": str(folder / "bin"), "GITHUB_ACTION_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_steps_need_no_shell_but_sh() -> None:
    assert {step["shell"] for step in STEPS} == {"sh"}


def test_the_outputs_are_what_the_program_writes() -> None:
    plan = Plan(
        command=Command.PUBLISH,
        commit=Commit("0" * 40),
        permission=Permission(push=False, shared=False, reason="none"),
        steps=(),
    )
    assert set(ACTION["outputs"]) == set(results.outputs(plan, [], pushed=False))
    for name, output in ACTION["outputs"].items():
        assert output["value"] == f"${{{{ steps.run.outputs.{name} }}}}"


def uses_of_this_action(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    return [s for s in steps if s.get("uses", "").startswith(("feastflow/registry-action@", "./"))]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_workflows_give_inputs_that_exist(path: Path) -> None:
    found = uses_of_this_action(yaml.safe_load(path.read_text()))
    assert found
    for step in found:
        assert set(step["with"]) <= set(ACTION["inputs"])


def test_the_workflows_read_outputs_that_exist() -> None:
    text = "".join(path.read_text() for path in WORKFLOWS)
    used = re.findall(r"steps\.(?:registry|publish|again)\.outputs\.([\w-]+)", text)
    assert used
    assert set(used) <= set(ACTION["outputs"])


BUILT = "${{ needs.build.result == 'success' && needs.plan.outputs.matrix || '' }}"
BY_SERVICE: dict[str, dict[str, Any]] = {
    "plan": {"dry-run": True},
    "build": {"services": "${{ matrix.service }}", "shared-tags": False},
    "publish": {"built": BUILT},
}
BY_PLATFORM: dict[str, dict[str, Any]] = {
    "plan": {"matrix": "platforms", "dry-run": True},
    "build": {"services": "${{ matrix.service }}", "part": "${{ matrix.platform }}"},
    "publish": {"matrix": "platforms", "built": BUILT},
}


@pytest.mark.parametrize(("matrix", "parts"), [(MATRIX, BY_SERVICE), (PLATFORMS, BY_PLATFORM)])
def test_the_runners_of_a_matrix_differ_in_nothing_but_their_part(
    matrix: dict[Any, Any], parts: dict[str, dict[str, Any]]
) -> None:
    [alone] = uses_of_this_action(CALLER)
    secret = {name: alone["with"][name] for name in ("username", "token")}
    assert matrix["jobs"].keys() == parts.keys()
    for name, job in matrix["jobs"].items():
        checkout, step = job["steps"]
        assert checkout == CALLER["jobs"]["publish"]["steps"][0]
        assert step["uses"] == alone["uses"]
        assert step["with"] == {**secret, **parts[name]}
        needed = (
            {"contents": "read"} if name == "plan" else {"contents": "read", "statuses": "write"}
        )
        assert job["permissions"] == needed
    assert CALLER["jobs"]["publish"]["permissions"] == needed


@MATRICES
def test_the_workflows_start_on_the_same_events(matrix: dict[Any, Any]) -> None:
    for key in (True, "permissions", "concurrency"):  # YAML 1.1 takes on for a boolean.
        assert matrix[key] == CALLER[key]


@MATRICES
def test_no_runner_of_a_matrix_ends_another(matrix: dict[Any, Any]) -> None:
    assert matrix["jobs"]["build"]["strategy"]["fail-fast"] is False


def test_the_self_test_runs_as_callers_do() -> None:
    ours, theirs = OURS["jobs"]["self-test"], CALLER["jobs"]["publish"]
    for key in ("runs-on", "permissions", "timeout-minutes"):
        assert ours[key] == theirs[key]
    assert ours["steps"][0] == theirs["steps"][0], "the checkout"


def uv(*arguments: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).parent / "uv", *arguments, "--offline"],
        cwd=ROOT,
        env={**os.environ, "UV_NO_CONFIG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    ("name", "selection"),
    [("requirements.txt", ["--no-dev"]), ("requirements-uv.txt", ["--only-group", "uv"])],
)
def test_what_the_action_installs_is_what_is_locked(name: str, selection: list[str]) -> None:
    exported = uv(
        "export", "--frozen", "--no-emit-project", "--format", "requirements.txt", *selection
    )
    locked = without_comments((ROOT / name).read_text())
    assert locked == without_comments(exported), "make lock brings it in line"


def test_the_lock_is_in_line_with_the_project() -> None:
    uv("lock", "--check")


def test_the_lock_names_the_public_index_only() -> None:
    text = (ROOT / "uv.lock").read_text()
    hosts = set(re.findall(r"\bhttps?://([^/\"]+)", text))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
