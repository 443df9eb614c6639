"""What can be said of the project without running it. A failure shows what the checker said."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
PACKAGE = ROOT / "feastflow_registry"

OUR_WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
CALLERS = sorted((ROOT / "workflows").glob("*.yml"))
DOCKERFILES = sorted((ROOT / "examples").rglob("Dockerfile"))
CONFIGURATIONS = sorted((ROOT / "examples").rglob("feastflow.yml"))
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*") if path.is_file())
SCRIPTS = [ROOT / ".ci/run", *(path for path in EXAMPLES if path.read_bytes().startswith(b"#!"))]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


WORKFLOWS = names(OUR_WORKFLOWS + CALLERS)
DEPENDABOT = ".github/dependabot.yml"
FORMS = [".github/ISSUE_TEMPLATE/fault.yml", ".github/ISSUE_TEMPLATE/wish.yml"]
CHECKS = {
    "ruff": ["ruff", "check"],
    "ruff format": ["ruff", "format", "--check"],
    "mypy": ["mypy"],
    "import contracts": ["lint-imports", "--no-cache"],
    "actionlint": ["actionlint", "-shellcheck=", "-pyflakes=", *WORKFLOWS],
    "zizmor": [
        "zizmor",
        "--offline",
        "--no-progress",
        "--pedantic",
        "action.yml",
        DEPENDABOT,
        *WORKFLOWS,
    ],
    "schema of action.yml": [
        *("check-jsonschema", "--builtin-schema", "vendor.github-actions", "action.yml")
    ],
    "schema of the workflows": [
        *("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    ],
    "schema of Dependabot": [
        *("check-jsonschema", "--builtin-schema", "vendor.dependabot", DEPENDABOT)
    ],
    "schema of the issue forms": [
        *("check-jsonschema", "--builtin-schema", "vendor.github-issue-forms", *FORMS)
    ],
    "schema of the choice of issues": [
        *("check-jsonschema", "--builtin-schema", "vendor.github-issue-config"),
        ".github/ISSUE_TEMPLATE/config.yml",
    ],
    "schema of feastflow.yml": [
        *("check-jsonschema", "--schemafile", "feastflow.schema.json", *names(CONFIGURATIONS))
    ],
    "hadolint": ["hadolint", *names(DOCKERFILES)],
    "completions of the shells": ["python", "dev/completions", "--check"],
}


def run(argv: list[str], *, folder: Path = ROOT) -> tuple[int, str]:
    """Run one of the programs that are installed beside this Python."""
    done = subprocess.run(
        [str(PROGRAMS / argv[0]), *argv[1:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("check", CHECKS)
def test_finds_nothing(check: str) -> None:
    code, said = run(CHECKS[check])
    assert code == 0, f"{' '.join(CHECKS[check])}\n{said}"


PLANTED = {
    "model/references.py": "from feastflow_registry.tags import gate",
    "config/settings.py": "import time",
    "tags/gate.py": "import os",
    "tags/execute.py": "import docker",
    "tags/survey.py": "from feastflow_registry.transport import http",
    "git/clone.py": "from feastflow_registry.config import settings",
    "builder/engine.py": "from feastflow_registry.git import clone",
    "report/results.py": "from feastflow_registry.commands import app",
}
"""Breaches of the import contract."""


def test_the_import_contract_names_every_breach(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name)
    for name, line in PLANTED.items():
        with (tmp_path / PACKAGE.name / name).open("a") as file:
            file.write(f"\n{line}\n")
    code, said = run(["lint-imports", "--no-cache"], folder=tmp_path)
    assert code == 1, said
    for name, line in PLANTED.items():
        breaking = f"{PACKAGE.name}.{name.removesuffix('.py').replace('/', '.')}"
        *_, last = line.removeprefix("from ").replace(" import ", ".").split()
        assert f"{breaking} -> {last}" in said, said


SHARED = frozenset(
    {
        *("aftermath", "again", "app", "inputs", "manifests", "registries", "request"),
        *("service_inputs", "workspace"),
    }
)
"""What commands are made of; every other file in that folder is a command."""


def imported(path: Path) -> set[str]:
    """The modules and folders of ours that a module names in an import."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return {each.removeprefix(f"{PACKAGE.name}.") for each in found}


@pytest.mark.parametrize("path", sorted((PACKAGE / "commands").glob("*.py")), ids=lambda p: p.stem)
def test_no_command_imports_another_or_an_adapter(path: Path) -> None:
    names = {each.partition(".")[0] for each in imported(path)}
    assert path.stem in ("app", "workspace") or not names & {"builder", "git", "registry"}
    commands = {each.stem for each in path.parent.glob("*.py")} - SHARED - {"__init__"}
    assert not imported(path) & {f"commands.{each}" for each in commands}


def modules() -> list[str]:
    return sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", modules())
def test_only_cli_reads_the_environment(module: str) -> None:
    """What import-linter cannot see: one name in a module that others may import."""
    tree = ast.parse((PACKAGE / module).read_text())
    reading = {"environ", "environb", "getenv", "getenvb"}
    found = [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in reading and _is_os(node.value))
        or (isinstance(node, ast.ImportFrom) and node.module == "os")
    ]
    assert module == "cli.py" or not found


def _is_os(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"


def test_the_house_has_thirteen_rooms_and_none_is_too_large() -> None:
    top = [each.name for each in PACKAGE.iterdir() if each.name != "__pycache__"]
    assert len(top) == 13
    large = [each for each in modules() if len((PACKAGE / each).read_text().splitlines()) > 450]
    assert large == []


@pytest.mark.parametrize("script", names(SCRIPTS))
def test_scripts_parse(script: str) -> None:
    done = subprocess.run(
        ["bash", "-n", ROOT / script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
