"""The environment that the action makes for itself: kept, shared, never half-made, never foreign.

The tests named after PyPI use it, by uv or pip.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.act import ROOT
from support.installing import Runner
from support.servers.serving import Call
from support.servers.wheel_host import WheelHost
from support.soak import one_in, soak

REACH_THE_INDEX = ("SSL_CERT_FILE", "PIP_CERT", "HTTP_PROXY", "HTTPS_PROXY", "https_proxy")
WAIT = 30


@pytest.mark.parametrize("where", ["", "deep/down", "../link"])
def test_what_is_checked_out_is_no_kept_environment(runner: Runner, where: str) -> None:
    """Git checks folders out as the runner's own: whoever opens a pull request could fill one."""
    workspace = runner.folder / "workspace"
    workspace.mkdir()
    (runner.folder / "link").symlink_to(workspace)
    runner.environ |= {
        "GITHUB_WORKSPACE": str(workspace),
        "XDG_CACHE_HOME": str(workspace / where),
        "RUNNER_TOOL_CACHE": str(workspace),
    }
    planted = runner.install()
    assert planted.is_relative_to(runner.folder / "temp")
    shutil.copytree(runner.folder / "temp", workspace / where, dirs_exist_ok=True)
    shutil.rmtree(runner.folder / "temp" / planted.parents[1].name)
    assert runner.install() == planted, "made anew"


@pytest.mark.parametrize("name", ["RUNNER_TOOL_CACHE", "XDG_CACHE_HOME"])
def test_a_folder_adds_no_line_to_the_outputs(runner: Runner, name: str) -> None:
    runner.environ[name] = f"{runner.folder}/x\nsite=/tmp/evil"
    assert not runner.install().is_relative_to("/tmp/evil")


def test_an_output_that_cannot_be_written_is_one_sentence(runner: Runner) -> None:
    """Where packages are kept, and where they are not yet."""
    folder = str(runner.folder)
    for _ in range(2):
        answer = runner.call("install", output=folder)
        assert (answer.code, "Traceback" in answer.said) == (2, False)
        [error] = answer.errors
        assert "The packages were not installed" in error
        assert "let its folders and GITHUB_OUTPUT be written" in error


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Runner]:
    """A runner that can reach PyPI; without uv, unless a test puts one there."""
    if shutil.which("uv", path="/usr/bin:/bin"):
        pytest.skip("uv is installed for the whole system, so it cannot be absent")
    runner = Runner(tmp_path)
    runner.environ = {name: os.environ[name] for name in REACH_THE_INDEX if name in os.environ}
    runner.environ["UV_DEFAULT_INDEX"] = "https://pypi.org/simple"
    yield runner
    shutil.rmtree(runner.folder)


def test_from_pypi_with_the_uv_of_the_runner(real: Runner) -> None:
    (real.folder / "bin/uv").symlink_to(Path(sys.executable).parent / "uv")
    site = real.install()
    assert (site / "pydantic").is_dir()
    assert (site / "docker").is_dir()


@soak
def test_from_pypi_with_a_uv_of_our_own(real: Runner) -> None:
    # The one that this environment was made from: uv makes environments without pip.
    site = real.install(python=os.path.realpath(sys.executable))
    assert (site / "pydantic_core").is_dir()
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


def test_what_is_kept_is_used_again_with_nothing_but_python(
    runner: Runner, host: WheelHost
) -> None:
    first = runner.call("install")
    host.forget()
    runner.path = []
    second = runner.call("install")
    assert second.outputs == first.outputs
    assert second.outputs["python"] == sys.executable
    assert second.said == ""
    assert not host.requests


def test_the_way_to_what_is_kept_imports_little(runner: Runner) -> None:
    runner.install()
    argv = [sys.executable, "-X", "importtime", *runner.argv("install")[1:]]
    said = subprocess.run(argv, env=runner.known, capture_output=True, text=True, check=True).stderr
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert "hashlib" in imported
    heavy = {"argparse", "pathlib", "re", "shutil", "site", "subprocess", "tempfile", "typing"}
    heavy |= {"environment", "wheels", "ssl", "urllib"}
    assert imported & heavy == set()


def test_other_requirements_are_another_environment(runner: Runner) -> None:
    first = runner.install()
    with (runner.action / "requirements.txt").open("a") as file:
        file.write("# another\n")
    assert runner.install() != first
    assert len(runner.kept) == 2


def test_runs_at_the_same_time_share_one(runner: Runner, host: WheelHost) -> None:
    name = next(iter(host.files))
    together = threading.Barrier(4, timeout=WAIT)

    def send(call: Call) -> None:
        together.wait()
        call.answer(200, host.files[name])

    host.answers[name] = send
    with ThreadPoolExecutor(4) as pool:
        sites = list(pool.map(lambda _: runner.install(), range(4)))
    assert len(set(sites)) == 1
    assert len(runner.kept) == 1
    assert (sites[0] / "package.py").exists()


def silent(call: Call) -> None:
    call.server.owner.closing.wait()


def test_what_a_killed_run_left_is_never_used_and_is_swept(runner: Runner, host: WheelHost) -> None:
    host.answers[next(iter(host.files))] = silent
    killed = subprocess.Popen(
        runner.argv("install"), env=runner.known, stdout=subprocess.DEVNULL, start_new_session=True
    )
    while not list(runner.home.glob("*/site/third.py")):
        assert killed.poll() is None
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    (left,) = runner.home.iterdir()

    host.answers.clear()
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


@pytest.mark.parametrize("damage", one_in(3, ["no marker", "others can write", "a link"]))
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


def test_tools_see_how_to_reach_the_index_and_no_secret(runner: Runner, uv: None) -> None:
    index = "https://index.example/simple"
    seen = {"UV_DEFAULT_INDEX": index, "https_proxy": "http://proxy.example", "LANG": "C.UTF-8"}
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
    assert found["PWD"] == str(runner.action)


def test_a_tool_that_fails_is_quoted_and_obeyed_in_nothing(runner: Runner) -> None:
    runner.environ["UV_INDEX"] = "https://index.example/simple"
    runner.put("uv", "#!/bin/sh\necho '::error::forged'; echo 'no route to host' >&2; exit 2\n")
    answer = runner.call("install")
    assert answer.code == 5
    lines = answer.said.splitlines()
    stop = next(line for line in lines if line.startswith("::stop-commands::"))
    word = stop.removeprefix("::stop-commands::")
    quoted = lines[lines.index(stop) + 1 : lines.index(f"::{word}::")]
    assert quoted[:2] == ["::error::forged", "no route to host"]
    assert lines[1].startswith("::group::")
    assert len(answer.errors) == 2, "the forged one, and ours"
    assert runner.kept == []


AS_OLD = "sys.version_info = (3, 9, 2)"
RIGHT = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
WRONG = "#!/bin/sh\nexit 1\n"
ELSEWHERE = "#!/lib/ld-of-another-system.so\n"
ARCHITECTURE = "x64" if os.uname().machine == "x86_64" else "arm64"


def test_an_old_python_finds_a_newer_one(runner: Runner) -> None:
    runner.put("python3.14", WRONG)
    runner.put("python3.13", RIGHT)
    answer = runner.simulate(AS_OLD)
    assert answer.code == 0, answer.said
    assert answer.outputs["python"] == sys.executable


def cache(runner: Runner, version: str, script: str, folder: str = ARCHITECTURE) -> Path:
    """Put a Python into the runner's tool cache; the file that says that it is whole."""
    program = runner.folder / "tools/Python" / version / folder / "bin/python3"
    program.parent.mkdir(parents=True)
    program.write_text(script.replace("exec", f"echo {version} > $0.used; exec"))
    program.chmod(0o755)
    complete = program.parents[2] / f"{folder}.complete"
    complete.touch()
    return complete


def test_an_old_python_finds_a_newer_one_in_the_tool_cache(runner: Runner) -> None:
    for version in ("3.9.25", "3.12.9", "3.12.10", "3.10.1"):
        cache(runner, version, RIGHT)
    cache(runner, "3.13.1", ELSEWHERE)
    cache(runner, "3.14.0", RIGHT).unlink()
    cache(runner, "3.14.1", RIGHT, "another-architecture")
    cache(runner, "3.15.0-rc.1", RIGHT)
    answer = runner.simulate(f"{AS_OLD}; {NONE_ON_PATH}")
    assert answer.code == 0, answer.said
    assert answer.outputs["python"] == sys.executable
    used = runner.folder.glob("tools/Python/**/python3.used")
    assert {path.read_text().strip() for path in used} == {"3.12.10"}


NONE_ON_PATH = "shutil.which = lambda name: None"


@pytest.mark.parametrize("version", [(3, 6, 9), (3, 10, 1), (3, 16, 0)])
@pytest.mark.parametrize("tool_cache", ["", "relative", "/nowhere"])
def test_no_python_of_the_right_age(
    runner: Runner, version: tuple[int, ...], tool_cache: str
) -> None:
    runner.environ["RUNNER_TOOL_CACHE"] = tool_cache
    unknown = "import subprocess; subprocess.call = lambda *args, **options: 1"
    answer = runner.simulate(f"sys.version_info = {version}; {NONE_ON_PATH}; {unknown}")
    assert answer.code == 2
    (error,) = answer.errors
    assert f"needs Python 3.11 to 3.15; this runner has only Python 3.{version[1]}." in error
    assert "actions/setup-python" in error


@pytest.mark.parametrize(
    "patch",
    [
        "sys.platform = 'darwin'",
        "sys.platform = 'win32'; del os.uname, os.getuid",
        "os.uname = lambda: type('', (), {'machine': 'riscv64'})",
    ],
)
def test_another_machine(runner: Runner, patch: str) -> None:
    answer = runner.simulate(patch)
    assert answer.code == 2
    (error,) = answer.errors
    assert "runs on Linux on x86_64 or aarch64" in error


@pytest.mark.parametrize("name", ["bootstrap.py", "environment.py"])
def test_old_pythons_can_read_it(name: str) -> None:
    ast.parse((ROOT / name).read_text(), feature_version=(3, 7))


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
