"""The program on a terminal, in a pipe, and with `--json`; what completes its words in a shell."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from support.machine import PROGRAM
from support.repositories import Project

WIPE = "\r\x1b[K"


@pytest.fixture
def silent() -> Iterator[str]:
    """A registry that takes every connection, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm", "COLUMNS": "80"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Project.create(tmp_path).folder


def on_a_terminal(
    environ: Mapping[str, str], folder: Path, *words: str, until: str, redirect: str = ""
) -> tuple[int, str]:
    """Run on a terminal until a pattern is shown, then end it; the code, and all output."""
    screen, terminal = pty.openpty()
    argv = [*PROGRAM, *words]
    if redirect:
        argv = ["bash", "-c", f'"$@" {redirect}', "bash", *argv]
    ran = subprocess.Popen(argv, cwd=folder, env=environ, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = ""
    with suppress(OSError):  # The end of a terminal is an error on Linux.
        while piece := os.read(screen, 4096).decode("utf-8", "replace"):
            shown += piece
            if until and re.search(until, shown):
                ran.terminate()  # SIGINT is ignored where the tests run in the background.
                until = ""
    os.close(screen)
    return ran.wait(), shown


def test_what_is_waited_for_is_shown_and_wiped(
    environ: dict[str, str], folder: Path, silent: str
) -> None:
    words = ("tags", "--registry", silent, "--image", "app", "--namespace", "ada")
    line = rf"… reading what {silent} holds \(\d+ s\)"
    code, shown = on_a_terminal(environ, folder, *words, until=line)
    assert code == 143
    after = re.split(line, shown, maxsplit=1)[1]
    assert after.startswith(WIPE)
    assert "\x1b[33m⚠  The run was cancelled." in after
    assert "…" not in after.rpartition(WIPE)[2]


def test_without_colour_nothing_is_painted(
    environ: dict[str, str], folder: Path, silent: str
) -> None:
    words = ("tags", "--registry", silent, "--image", "app", "--namespace", "ada")
    _, shown = on_a_terminal({**environ, "NO_COLOR": "1"}, folder, *words, until=r"\(\d+ s\)")
    assert "\x1b[K" in shown
    assert not re.search(r"\x1b\[\d*m", shown)


@pytest.mark.parametrize("dumb", [{"TERM": "dumb"}, {}], ids=["dumb", "piped"])
def test_where_no_line_can_be_drawn_over_none_is(
    environ: dict[str, str], folder: Path, dumb: dict[str, str]
) -> None:
    redirect = "" if dumb else "| cat"
    words = ("tags", "--registry", "127.0.0.1:1", "--image", "app", "--namespace", "ada")
    code, shown = on_a_terminal({**environ, **dumb}, folder, *words, until="", redirect=redirect)
    assert "\x1b" not in shown
    assert "✗" in shown
    assert code == (5 if dumb else 0)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["tags", "--registry", "127.0.0.1:1", "--image", "app", "--namespace", "ada"], 5),
        (["promote", "--json", "--tgas", "x"], 2),
        (["rollback", "--sha-length", "3"], 2),
    ],
)
def test_a_failure_is_json_too(
    environ: dict[str, str], folder: Path, words: list[str], code: int
) -> None:
    argv = [*PROGRAM, *words, "--json"]
    done = subprocess.run(
        argv, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)
    assert (done.returncode, found["exit_code"], found["command"]) == (code, code, words[0])
    for each in found["problems"]:
        assert each["cause"] in done.stderr
        assert each["fix"] in done.stderr


def test_init_says_what_it_wrote(environ: dict[str, str], folder: Path) -> None:
    argv = [*PROGRAM, "init", "--json"]
    done = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"command": "init", "file": "feastflow.yml"}
    assert (folder / "feastflow.yml").exists()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("feastflow-registry roll", {"rollback"}),
        ("feastflow-registry prune --keep-d", {"--keep-days"}),
        ("feastflow-registry publish --latest ", {"forward", "force", "release", "never"}),
        ("feastflow-registry completion z", {"zsh"}),
    ],
)
def test_bash_completes_words(
    environ: dict[str, str], tmp_path: Path, line: str, found: set[str]
) -> None:
    script = tmp_path / "completion"
    done = subprocess.run(
        [*PROGRAM, "completion", "bash"], env=environ, capture_output=True, check=True
    )
    script.write_bytes(done.stdout)
    ask = """
source "$1"
words=($2); [[ $2 == *" " ]] && words+=("")
COMP_WORDS=("${words[@]}"); COMP_CWORD=$((${#words[@]} - 1))
complete -p feastflow-registry | grep -o "_shtab[a-z_]*" > "$1.name"
$(cat "$1.name")
printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(
        ["bash", "-c", ask, "bash", script, line], env=environ, capture_output=True, check=True
    )
    assert {each.strip() for each in done.stdout.decode().split()} == found


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_know_the_words_too(environ: dict[str, str], shell: str) -> None:
    argv = [*PROGRAM, "completion", shell]
    shown = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True).stdout
    for word in ("rollback", "keep-days", "forward"):
        assert word in shown


def _completion(environ: dict[str, str], shell: str, folder: Path) -> Path:
    """The file that completes words in a shell."""
    argv = [*PROGRAM, "completion", shell]
    done = subprocess.run(argv, env=environ, capture_output=True, check=True)
    script = folder / "completion"
    script.write_bytes(done.stdout)
    return script


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish here")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("feastflow-registry roll", {"rollback"}),
        ("feastflow-registry prune --dry-run --keep-d", {"--keep-days"}),
        ("feastflow-registry publish --latest ", {"forward", "force", "release", "never"}),
        ("feastflow-registry publish --latest=r", {"--latest=release"}),
    ],
)
def test_fish_completes_words(
    environ: dict[str, str], tmp_path: Path, line: str, found: set[str]
) -> None:
    script = _completion(environ, "fish", tmp_path)
    argv = ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    assert {each.partition("\t")[0] for each in done.stdout.splitlines()} == found


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh here")
@pytest.mark.parametrize("way", ['source "$1"', 'eval "$(<$1)"'])
def test_zsh_takes_the_words_up(environ: dict[str, str], tmp_path: Path, way: str) -> None:
    """By hand it registers itself; only a file of `fpath` is called at once."""
    script = _completion(environ, "zsh", tmp_path)
    ask = f'compdef() {{ print -r -- "$@" }}; {way}'
    argv = ["zsh", "-f", "-c", ask, "zsh", str(script)]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1:] == ["-N", "feastflow-registry"]


def test_zsh_takes_a_value_after_an_equals_sign_or_none(
    environ: dict[str, str], tmp_path: Path
) -> None:
    script = _completion(environ, "zsh", tmp_path).read_text()
    assert '"*--latest=[' in script
    assert re.search(r'"--dry-run=\[.*\]::BOOL:\(true false\)"', script)
