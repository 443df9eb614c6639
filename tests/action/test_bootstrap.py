"""The environment that the action makes for itself: kept, shared, never half-made, never foreign.

Where no package matters, `uv` is a script of ours; the tests named after PyPI use the real one.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REACH_THE_INDEX = ("SSL_CERT_FILE", "PIP_CERT", "HTTP_PROXY", "HTTPS_PROXY", "https_proxy")

FAKE_UV = """#!/bin/sh
while [ "$#" -gt 0 ]; do
  [ "$1" = --target ] && target=$2
  shift
done
mkdir -p "$target"
env > "$target/environ"
touch "$target/package.py"
"""


@dataclass
class Runner:
    """A runner's folders, and a copy of what it unpacks of the action."""

    folder: Path
    path: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("action", "bin", "home", "tools", "temp"):
            (self.folder / name).mkdir()
        for name in ("bootstrap.py", "requirements.txt", "requirements-uv.txt"):
            shutil.copy(ROOT / name, self.action)
        self.path = [str(self.folder / "bin"), "/usr/bin", "/bin"]

    @property
    def action(self) -> Path:
        return self.folder / "action"

    @property
    def home(self) -> Path:
        """Where the environments are kept."""
        return self.folder / "tools" / f"feastflow-registry-{os.getuid()}"

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in self.home.iterdir())

    @property
    def known(self) -> dict[str, str]:
        return {
            "PATH": os.pathsep.join(self.path),
            "HOME": str(self.folder / "home"),
            "RUNNER_TOOL_CACHE": str(self.folder / "tools"),
            "RUNNER_TEMP": str(self.folder / "temp"),
            **self.environ,
        }

    def put(self, name: str, script: str) -> None:
        """Put a command on the PATH."""
        (self.folder / "bin" / name).write_text(script)
        (self.folder / "bin" / name).chmod(0o755)

    def argv(self, *arguments: str, python: str = sys.executable) -> list[str]:
        return [python, "-I", "-S", str(self.action / "bootstrap.py"), *arguments]

    def call(self, *arguments: str, python: str = sys.executable) -> Answer:
        return self._answer(self.argv(*arguments, python=python), "answer")

    def simulate(self, patch: str) -> Answer:
        """Run install in a process that believes something else about its machine."""
        code = f"import os, runpy, shutil, sys; {patch}\n"
        code += f"sys.argv = ['bootstrap.py', 'install']\nrunpy.run_path({str(self.action / 'bootstrap.py')!r}, run_name='__main__')"  # noqa: E501
        return self._answer([sys.executable, "-I", "-S", "-c", code], "answer")

    def install(self, python: str = sys.executable) -> Path:
        """Install, which must succeed; the site folder."""
        answer = self.call("install", python=python)
        assert answer.code == 0, answer.said
        return Path(answer.outputs["site"])

    def _answer(self, argv: list[str], name: str) -> Answer:
        output = self.folder / f"{name}-{time.monotonic_ns()}"
        done = subprocess.run(
            argv,
            env={**self.known, "GITHUB_OUTPUT": str(output)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        lines = output.read_text().splitlines() if output.exists() else []
        outputs = dict(line.split("=", 1) for line in lines)
        return Answer(done.returncode, done.stdout, outputs)


@dataclass(frozen=True)
class Answer:
    code: int
    said: str
    outputs: dict[str, str]

    @property
    def errors(self) -> list[str]:
        return [line for line in self.said.splitlines() if line.startswith("::error::")]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    runner = Runner(tmp_path)
    runner.put("uv", FAKE_UV)
    return runner


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Runner]:
    """A runner that can reach PyPI; without uv, unless a test puts one there."""
    if shutil.which("uv", path="/usr/bin:/bin"):
        pytest.skip("uv is installed for the whole system, so it cannot be absent")
    runner = Runner(tmp_path)
    runner.environ = {name: os.environ[name] for name in REACH_THE_INDEX if name in os.environ}
    yield runner
    shutil.rmtree(runner.folder)


def test_from_pypi_with_the_uv_of_the_runner(real: Runner) -> None:
    (real.folder / "bin/uv").symlink_to(Path(sys.executable).parent / "uv")
    site = real.install()
    assert (site / "pydantic").is_dir()
    assert (site / "docker").is_dir()


def test_from_pypi_with_a_uv_of_our_own(real: Runner) -> None:
    # The one that this environment was made from: uv makes environments without pip.
    site = real.install(python=os.path.realpath(sys.executable))
    assert (site / "github").is_dir()
    assert sorted(path.name for path in site.parent.iterdir()) == ["complete", "site"]
    assert not (real.folder / "home/.cache/uv").exists()


def test_a_package_whose_hash_is_not_locked_is_refused(real: Runner) -> None:
    (real.folder / "bin/uv").symlink_to(Path(sys.executable).parent / "uv")
    requirements = real.action / "requirements.txt"
    requirements.write_text(f"idna==3.10 \\\n    --hash=sha256:{'0' * 64}\n")
    answer = real.call("install")
    assert answer.code == 5
    assert "hash" in answer.said.lower()
    assert real.kept == []


def test_what_is_kept_is_used_again_with_nothing_but_python(runner: Runner) -> None:
    first = runner.call("install")
    runner.path = []
    second = runner.call("install")
    assert second.outputs == first.outputs
    assert second.outputs["python"] == sys.executable
    assert second.said == ""


def test_the_way_to_what_is_kept_imports_little(runner: Runner) -> None:
    runner.install()
    argv = [sys.executable, "-X", "importtime", *runner.argv("install")[1:]]
    said = subprocess.run(argv, env=runner.known, capture_output=True, text=True, check=True).stderr
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert "hashlib" in imported
    heavy = {"argparse", "pathlib", "re", "shutil", "site", "subprocess", "tempfile", "typing"}
    assert imported & heavy == set()


def test_other_requirements_are_another_environment(runner: Runner) -> None:
    first = runner.install()
    with (runner.action / "requirements.txt").open("a") as file:
        file.write("# another\n")
    assert runner.install() != first
    assert len(runner.kept) == 2


def test_runs_at_the_same_time_share_one(runner: Runner) -> None:
    runner.put("uv", FAKE_UV.replace("mkdir", "sleep 0.3; mkdir"))
    with ThreadPoolExecutor(4) as pool:
        sites = list(pool.map(lambda _: runner.install(), range(4)))
    assert len(set(sites)) == 1
    assert len(runner.kept) == 1
    assert (sites[0] / "package.py").exists()


def test_what_a_killed_run_left_is_never_used_and_is_swept(runner: Runner) -> None:
    runner.put("uv", FAKE_UV + "sleep 987\n")
    killed = subprocess.Popen(
        runner.argv("install"), env=runner.known, stdout=subprocess.DEVNULL, start_new_session=True
    )
    while not list(runner.home.glob("*/site/package.py")):
        assert killed.poll() is None
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    (left,) = runner.home.iterdir()

    runner.put("uv", FAKE_UV)
    site = runner.install()
    assert not site.is_relative_to(left)
    assert left.exists(), "another run may be at it"

    long_ago = time.time() - 2 * 60 * 60
    os.utime(left, (long_ago, long_ago))
    shutil.rmtree(site.parent)
    runner.install()
    assert not left.exists()
    assert len(runner.kept) == 1


def test_an_environment_that_nobody_uses_is_swept(runner: Runner) -> None:
    old = runner.install().parent
    long_ago = time.time() - 31 * 24 * 60 * 60
    os.utime(old / "complete", (long_ago, long_ago))
    runner.install()
    assert (old / "complete").stat().st_mtime > long_ago + 60, "using it renews it"

    os.utime(old / "complete", (long_ago, long_ago))
    with (runner.action / "requirements.txt").open("a") as file:
        file.write("# another\n")
    runner.install()
    assert not old.exists()


@pytest.mark.parametrize("damage", ["no marker", "others can write", "a link"])
def test_what_is_not_sound_is_made_anew(runner: Runner, damage: str) -> None:
    site = runner.install()
    (site / "planted.py").touch()
    if damage == "no marker":
        (site.parent / "complete").unlink()
    elif damage == "others can write":
        site.parent.chmod(0o777)
    else:
        elsewhere = site.parent.rename(runner.folder / "elsewhere")
        site.parent.symlink_to(elsewhere)
    again = runner.install()
    assert (again / "package.py").exists()
    assert not (again / "planted.py").exists()


def test_a_home_that_others_can_write_is_not_used(runner: Runner) -> None:
    runner.install()
    runner.home.chmod(0o777)
    answer = runner.call("install")
    assert answer.code == 0
    assert answer.outputs["site"].startswith(str(runner.folder / "temp"))
    assert "::notice::" in answer.said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_belongs_to_somebody_else_is_not_used(runner: Runner) -> None:
    runner.install()
    os.chown(runner.home, 12345, 12345)
    answer = runner.call("install")
    assert answer.outputs["site"].startswith(str(runner.folder / "temp"))


def test_a_tool_cache_that_cannot_be_written(runner: Runner) -> None:
    runner.environ["RUNNER_TOOL_CACHE"] = "/proc/self"
    answer = runner.call("install")
    assert answer.code == 0, answer.said
    assert answer.outputs["site"].startswith(str(runner.folder / "temp"))
    assert answer.said.count("::notice::") == 1
    again = runner.call("install")
    assert again.outputs == answer.outputs
    assert again.said == ""


def test_no_folder_can_be_written(runner: Runner) -> None:
    everywhere = ("RUNNER_TOOL_CACHE", "RUNNER_TEMP", "XDG_CACHE_HOME")
    runner.environ |= dict.fromkeys(everywhere, "/proc/self")
    answer = runner.call("install")
    assert answer.code == 2
    assert len(answer.errors) == 1


def test_tools_see_how_to_reach_the_index_and_no_secret(runner: Runner) -> None:
    index = "https://index.example/simple"
    seen = {"PIP_INDEX_URL": index, "https_proxy": "http://proxy.example", "LANG": "C.UTF-8"}
    hidden = {
        "DOCKERHUB_TOKEN": "t0ken",
        "GITHUB_TOKEN": "t0ken",
        "INPUT_TOKEN": "t0ken",
        "UV_PUBLISH_TOKEN": "t0ken",
        "PYTHONPATH": "/planted",
        "PIP_TARGET": "/planted",
        "UV_TARGET": "/planted",
        "LD_PRELOAD": "",
    }
    runner.environ |= seen | hidden
    lines = (runner.install() / "environ").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert seen.items() <= found.items()
    assert not hidden.keys() & found.keys()
    assert found["UV_DEFAULT_INDEX"] == index
    assert found["PWD"] == str(runner.action)


def test_a_tool_that_fails_is_quoted_and_obeyed_in_nothing(runner: Runner) -> None:
    runner.put("uv", "#!/bin/sh\necho '::error::forged'; echo 'no route to host' >&2; exit 2\n")
    answer = runner.call("install")
    assert answer.code == 5
    lines = answer.said.splitlines()
    stop = next(line for line in lines if line.startswith("::stop-commands::"))
    word = stop.removeprefix("::stop-commands::")
    quoted = lines[lines.index(stop) + 1 : lines.index(f"::{word}::")]
    assert quoted[:2] == ["::error::forged", "no route to host"]
    assert lines[0].startswith("::group::")
    assert len(answer.errors) == 2, "the forged one, and ours"
    assert runner.kept == []


def test_neither_uv_nor_pip(runner: Runner) -> None:
    (runner.folder / "bin/uv").unlink()
    bare = runner.folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    answer = runner.call("install", python=str(bare / "bin/python"))
    assert answer.code == 2
    (error,) = answer.errors
    assert "neither uv nor pip" in error


def test_an_old_python_finds_a_newer_one(runner: Runner) -> None:
    runner.put("python3.14", "#!/bin/sh\nexit 1\n")
    runner.put("python3.13", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    answer = runner.simulate("sys.version_info = (3, 9, 2)")
    assert answer.code == 0, answer.said
    assert answer.outputs["python"] == sys.executable


@pytest.mark.parametrize("version", [(3, 6, 9), (3, 10, 1), (3, 15, 0)])
def test_no_python_of_the_right_age(runner: Runner, version: tuple[int, ...]) -> None:
    answer = runner.simulate(f"sys.version_info = {version}; shutil.which = lambda name: None")
    assert answer.code == 2
    (error,) = answer.errors
    assert f"needs Python 3.11 to 3.14; this runner has only Python 3.{version[1]}." in error
    assert "actions/setup-python" in error


@pytest.mark.parametrize(
    "patch",
    [
        "sys.platform = 'darwin'",
        "sys.platform = 'win32'; del os.uname",
        "os.uname = lambda: type('', (), {'machine': 'riscv64'})",
    ],
)
def test_another_machine(runner: Runner, patch: str) -> None:
    answer = runner.simulate(patch)
    assert answer.code == 2
    (error,) = answer.errors
    assert "runs on Linux on x86_64 or aarch64" in error


def test_old_pythons_can_read_it() -> None:
    ast.parse((ROOT / "bootstrap.py").read_text(), feature_version=(3, 7))


PROGRAM = """
import sys
def main(argv):
    print(argv, sys.flags.isolated, sys.flags.no_site, *sys.path[:2], sep="|")
    print(any("site-packages" in each or "dist-packages" in each for each in sys.path))
    return 3
"""


def test_the_program_runs_with_its_packages_and_no_others(runner: Runner) -> None:
    site = runner.install()
    package = runner.action / "feastflow_registry"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cli.py").write_text(PROGRAM)
    runner.environ["PYTHONPATH"] = "/planted"
    for _ in range(2):
        answer = runner.call("run", str(site))
        assert answer.code == 3, answer.said
        expected = ["[]", "1", "1", str(site), str(runner.action)]
        assert answer.said.splitlines() == ["|".join(expected), "False"]
    assert not (package / "__pycache__").exists()
    kept = [path.name.partition(".")[0] for path in (site.parent / "bytecode").rglob("*.pyc")]
    assert sorted(kept) == ["__init__", "cli"]
