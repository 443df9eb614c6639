"""Reading the environment that a run is handed; what needs git or files is tested elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.failures import fails

from feastflow_registry.commands.inputs import Intake
from feastflow_registry.config.command_line import PREFIX, child_environ, find_folder, merge
from feastflow_registry.config.settings import Settings

KEPT = [
    *["PATH", "HOME", "LC_ALL", "TMPDIR", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "no_proxy"],
    *["HTTPS_PROXY", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "BUILDX_BUILDER"],
]
HIDDEN = [
    *["DOCKERHUB_TOKEN", "FEASTFLOW_TOKEN", "FEASTFLOW_USERNAME", "GITHUB_TOKEN", "INPUT_TOKEN"],
    *["ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "AWS_SECRET_ACCESS_KEY"],
    *["DOCKER_AUTH_CONFIG", "PATH_TO_SECRET", "MY_HOME", "GITHUB_OUTPUT", "BUILDX_METADATA"],
    *["LD_PRELOAD", "GIT_SSH_COMMAND", "GIT_CONFIG_COUNT", "PYTHONPATH"],
]


class TestChildEnviron:
    @pytest.mark.parametrize("name", KEPT)
    def test_what_a_child_needs(self, name: str) -> None:
        assert child_environ({name: "x"})[name] == "x"

    @pytest.mark.parametrize("name", HIDDEN)
    def test_no_secret_and_no_hook(self, name: str) -> None:
        assert name not in child_environ({name: "x"})

    def test_no_program_asks_questions(self) -> None:
        assert child_environ({"GIT_TERMINAL_PROMPT": "1"})["GIT_TERMINAL_PROMPT"] == "0"


class TestMerge:
    def test_an_option_beats_a_variable(self) -> None:
        environ = {f"{PREFIX}LATEST": "never", f"{PREFIX}SHA_LENGTH": "9"}
        found = merge({"latest": "force", "sha_length": None, "milestone": ""}, environ)
        assert found == {"username": "", "latest": "force", "sha_length": "9"}

    @pytest.mark.parametrize("name", sorted(Settings.model_fields))
    def test_every_input_has_a_variable_and_an_option(self, name: str) -> None:
        assert merge({}, {f"{PREFIX}{name.upper()}": "x"})[name] == "x"
        assert merge({name: "x"}, {})[name] == "x"

    @pytest.mark.parametrize(
        ("given", "environ", "user"),
        [
            ({}, {}, ""),
            ({}, {"DOCKERHUB_USERNAME": " ada\n"}, "ada"),
            ({}, {"DOCKERHUB_USERNAME": "ada", f"{PREFIX}USERNAME": "bob"}, "bob"),
            ({"username": "eve"}, {"DOCKERHUB_USERNAME": "ada", f"{PREFIX}USERNAME": "bob"}, "eve"),
        ],
    )
    def test_user_name(self, given: dict[str, str], environ: dict[str, str], user: str) -> None:
        assert merge(given, environ)["username"] == user

    def test_blank_is_not_given_and_what_is_unknown_is_not_read(self) -> None:
        environ = {f"{PREFIX}MILESTONE": " \n", f"{PREFIX}TOKEN": "x", "UNRELATED": "x"}
        assert merge({"json": "x"}, environ) == {"username": ""}


class TestFindFolder:
    def test_the_runners_workspace(self, tmp_path: Path) -> None:
        environ = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "/elsewhere"}
        assert find_folder(environ, tmp_path) == Path("/elsewhere")
        assert find_folder({"GITHUB_WORKSPACE": "/elsewhere"}, tmp_path) == tmp_path
        assert find_folder({"GITHUB_ACTIONS": "true"}, tmp_path) == tmp_path

    @pytest.mark.parametrize("is_worktree", [False, True])
    def test_the_top_of_the_working_copy(self, tmp_path: Path, is_worktree: bool) -> None:
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True)
        if is_worktree:
            (tmp_path / ".git").touch()
        else:
            (tmp_path / ".git").mkdir()
        assert find_folder({}, below) == tmp_path


class TestFiles:
    """What is wrong with the files is said together with what is wrong with other inputs."""

    @staticmethod
    def problems(folder: Path, monkeypatch: pytest.MonkeyPatch, **inputs: str) -> str:
        monkeypatch.setattr(Intake, "_read_context", lambda _: None)
        with fails() as caught:
            Intake({}, {"username": "ada", **inputs}, folder).check()
        return str(caught.value)

    def test_are_checked_even_if_other_inputs_are_bad(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said = self.problems(tmp_path, monkeypatch, reuse="x", context="app")
        assert 'input "reuse"' in said
        assert 'input "context": there is no folder' in said
        assert 'input "dockerfile"' in self.problems(tmp_path, monkeypatch, reuse="x")

    def test_are_not_checked_if_their_own_names_are_bad(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said = self.problems(tmp_path, monkeypatch, context="/etc")
        assert said.count("\n") == 0
        assert 'input "context": ' in said


def test_secrets_are_not_shown() -> None:
    intake = Intake({}, {}, Path(), "s3cret", "ghs_s3cret")
    assert "s3cret" not in repr(intake)


@pytest.mark.parametrize(("value", "answer"), [("true", True), ("", False), ("false", False)])
def test_who_runs_it(value: str, answer: bool) -> None:
    assert Intake({"GITHUB_ACTIONS": value}, {}, Path()).in_runner is answer
