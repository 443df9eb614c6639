"""Reading the environment that a run is handed; what needs git or files is tested elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.failures import fails
from support.runs import MOMENT, A, B

from feastflow_registry.commands.inputs import Inputs, read
from feastflow_registry.commands.request import Request
from feastflow_registry.config.command_line import PREFIX, child_environ, find_folder, merge
from feastflow_registry.config.compose_files import CARRIED, DEFAULT_PLATFORM
from feastflow_registry.config.input_names import InputNames
from feastflow_registry.config.settings import INPUTS
from feastflow_registry.git.worktree import check_files, lies_within, read_file
from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.history import Checkout
from feastflow_registry.model.ports import Printed
from feastflow_registry.model.references import Commit, RegistryHost, Repository, Tag
from feastflow_registry.model.run import DEPENDABOT
from feastflow_registry.model.services import BuildOptions, Service, Where

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

    @pytest.mark.parametrize("name", sorted(INPUTS))
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


@dataclass
class FakeWorkspace:
    """A working copy whose files are real, at commit B, and nothing else of this machine."""

    folder: Path
    login_kept: Credential | None = None
    head: Commit = B
    committed: bool = True
    default_branch: str = ""
    remotes: tuple[str, ...] = ("git@github.com:feastflow/shop.git",)
    asked: list[str] = field(default_factory=list)

    def checkout(self, main: str) -> Checkout:
        self.asked.append(main)
        default = self.default_branch
        return Checkout(self.head, MOMENT, "main", self.remotes, default_branch=default)

    def is_committed(self, path: str) -> bool:
        return self.committed

    def peel(self, commit: Commit) -> Commit:
        return A

    def tracks(self, path: str) -> bool:
        return False

    def read(self, path: str, *, most: int) -> bytes | None:
        return read_file(self.folder, path, most=most)

    def holds(self, path: str) -> bool:
        return lies_within(self.folder / path, self.folder)

    def check_files(self, services: Iterable[Service], where: Where) -> Iterator[Problem]:
        return check_files(self.folder, tuple(services), where, lambda: ())

    def print_bake(
        self, files: Mapping[str, bytes], file: str, folder: str, variables: Mapping[str, str]
    ) -> Printed:
        context = "elsewhere" if ".env" in files else "."
        labels = {f"{CARRIED}{DEFAULT_PLATFORM}": ""}
        target: dict[str, Any] = {"context": context, "tags": ["org/web"], "labels": labels}
        target["cache-from"] = [{"type": "gha"}, {"type": "registry", "ref": "a/b"}]
        bake = {"group": {"default": {"targets": ["web"]}}, "target": {"web": target}}
        return Printed(0, json.dumps(bake), "", "/copy")

    def login(self, host: RegistryHost, username: str) -> Credential | None:
        return self.login_kept


TOKEN = "dckr_pat_0123456789"
RUNNER = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_REPOSITORY": "FeastFlow/shop",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_SHA": B.sha,
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_ACTOR": "ada",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").touch()
    (tmp_path / "event.json").write_text("{}")
    return tmp_path


def load(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    token: str = TOKEN,
    kept: Credential | None = None,
    hidden: Mapping[str, str] | None = None,
    workspace: FakeWorkspace | None = None,
    cache_token: str = "",
    others: str = "",
    **given: str,
) -> Inputs:
    """Read the inputs of a run, by hand unless an environment says otherwise."""
    seen = {"GITHUB_EVENT_PATH": str(folder / "event.json"), **(environ or {})}
    given = {"username": "ada", **given}
    request = Request(
        seen, given, folder, token, "", hidden or {}, cache_token, also_credentials=others
    )
    names = InputNames(request.in_runner)
    return read(request, workspace or FakeWorkspace(folder, kept), names)


class TestFiles:
    """What is wrong with the files is said together with what is wrong with other inputs."""

    def test_are_checked_even_if_other_inputs_are_bad(self, tmp_path: Path) -> None:
        with fails('input "reuse"', 'input "context": there is no folder'):
            load(tmp_path, reuse="x", context="app")
        with fails('input "dockerfile"'):
            load(tmp_path, reuse="x")

    def test_are_not_checked_if_their_own_names_are_bad(self, tmp_path: Path) -> None:
        with fails('input "context": ') as caught:
            load(tmp_path, context="/etc")
        assert str(caught.value).count("\n") == 0

    def test_nor_if_the_name_of_the_file_is_bad(self, folder: Path) -> None:
        with fails('input "config"') as caught:
            load(folder, config="/etc/x", context="app")
        assert str(caught.value).count("\n") == 0

    def test_the_one_that_is_named_must_be_there(self, folder: Path) -> None:
        with fails("there is no file 'other.yml'"):
            load(folder, config="other.yml")


class TestCache:
    """Where layers are kept: a checkout has them neither written nor read outside of it."""

    @pytest.mark.parametrize(
        "path",
        [".cache", "link", "link/{service}", "../cache", "/tmp/cache", "deep/../../cache"],
    )
    def test_a_file_names_a_folder_inside(self, folder: Path, path: str) -> None:
        (folder / "link").symlink_to("..")
        (folder / "feastflow.yml").write_text(f"cache: 'type=local,mode=max,dest={path}'\n")
        if path == ".cache":
            assert load(folder).settings.cache
            return
        shown = path.replace("{service}", "shop")
        with fails(f"feastflow.yml, line 1: \"cache\": '{shown}' lies outside the repository."):
            load(folder)
        assert load(folder, cache="none").settings.cache == ""

    @pytest.mark.parametrize("key", ["src", "dest"])
    def test_an_input_names_any_folder_but_no_link_that_leads_out(
        self, folder: Path, key: str
    ) -> None:
        (folder / "link").symlink_to("..")
        (folder / "feastflow.yml").write_text("cache: registry\n")
        for path in ("/tmp/cache", ".cache/{service}"):
            assert load(folder, cache=f"type=local,{key}={path}").settings.cache
        with fails(
            "input \"cache\": 'link' lies outside the repository", "a link that leads out of"
        ):
            load(folder, cache=f"type=local,{key}=link")
        assert load(folder, cache="type=s3,name=link/src=../x").settings.cache

    def test_a_file_names_none_that_takes_a_credential_elsewhere(self, folder: Path) -> None:
        (folder / "feastflow.yml").write_text("cache-from: 'type=gha,url=https://x'\n")
        with fails('feastflow.yml, line 1: "cache-from": a file may not choose url for a cache'):
            load(folder)
        assert load(folder, cache_from="type=gha,url=https://x").settings
        assert not load(folder, cache_from="type=gha", command="tags").warnings

    SERVICE = json.dumps({"ACTIONS_RUNTIME_TOKEN": "t" * 20, "ACTIONS_RESULTS_URL": "https://x/"})

    @pytest.mark.parametrize(
        ("environ", "cache_token", "why"),
        [
            ({}, "", "only a job of GitHub Actions has it"),
            (RUNNER, "", 'the input "cache-token" is empty'),
            (RUNNER, SERVICE, ""),
            ({**RUNNER, "GITHUB_EVENT_NAME": "pull_request"}, SERVICE, ""),
            ({**RUNNER, "GITHUB_EVENT_NAME": "pull_request_target"}, SERVICE, "could take its"),
        ],
    )
    def test_githubs_is_for_a_job_of_ones_own_code(
        self, folder: Path, environ: Mapping[str, str], cache_token: str, why: str
    ) -> None:
        loaded = load(folder, environ, cache="gha", cache_token=cache_token)
        said = [each for each in loaded.warnings if "GitHub's cache is neither read" in each]
        assert len(said) == bool(why)
        assert why in "".join(said)
        assert loaded.settings.cache == ("" if why else "gha")
        assert loaded.cache_service == ({} if why else json.loads(cache_token))

    def test_what_a_compose_file_says_of_githubs_is_left_out_without_it(self, folder: Path) -> None:
        (folder / "compose.yaml").write_text("services: {web: {build: ., image: org/web}}\n")
        loaded = load(folder, RUNNER, services_from="compose.yaml")
        assert loaded.services[0].cache_sources == ("type=registry,ref=a/b",)


class TestServices:
    def test_one_by_the_inputs_is_named_after_the_repository(self, folder: Path) -> None:
        assert str(load(folder).services[0].repository) == "ada/shop"
        found = load(folder, RUNNER, token="", username="", dry_run="true")
        assert str(found.services[0].repository) == "feastflow/shop"

    def test_the_user_of_docker_login_is_the_namespace(self, folder: Path) -> None:
        found = load(folder, token="", username="", kept=Credential("eve", "password"))
        assert str(found.services[0].repository) == "eve/shop"
        assert found.credential == Credential("eve", "password")

    def test_a_job_has_those_that_are_built_for_its_platform(self, folder: Path) -> None:
        (folder / "feastflow.yml").write_text(
            "services:\n  web: {platforms: [linux/amd64, linux/arm64]}\n"
            "  api: {platforms: [linux/amd64]}\n  job: {platforms: [linux/s390x]}\n"
        )
        found = load(folder, part="linux/amd64")
        assert [each.name for each in found.services] == ["web", "api"]
        assert found.services[0].platforms == ("linux/amd64", "linux/arm64"), "as they label it"
        assert len(found.all_services) == 3
        with fails('input "part": api is not built for linux/arm64', "linux/amd64."):
            load(folder, part="linux/arm64", services="api")
        with fails("line 4: services.job.platforms: no runner is known for linux/s390x"):
            load(folder, matrix="platforms")
        assert len(load(folder, matrix="platforms", runners="linux/s390x=z").services) == 3

    @pytest.mark.parametrize("command", ["build", "tags", "prune", "rollback"])
    def test_no_other_command_leaves_some_out_for_a_platform(
        self, folder: Path, command: str
    ) -> None:
        (folder / "feastflow.yml").write_text("services: {web: {platforms: [linux/amd64]}}")
        with fails(f'input "part": {command} does not build images in parts'):
            load(folder, part="linux/arm64", command=command)

    @pytest.mark.parametrize(
        ("registry", "user", "words"),
        [
            (
                "1.dkr.ecr.eu-west-1.amazonaws.com",
                "AWS",
                ["'AWS' cannot be the namespace", "feastflow"],
            ),
            (
                "europe-docker.pkg.dev",
                "_json_key",
                ["cannot be the namespace", "PROJECT/REPOSITORY"],
            ),
            (
                "harbor.example.com",
                "robot$shop+ci",
                ["cannot be the namespace", "owner or project"],
            ),
            (
                "shop.azurecr.io",
                "00000000-0000-0000-0000-000000000000",
                ["cannot be the namespace"],
            ),
            ("ghcr.io", "ada@example.com", ["cannot be the namespace", "the owner"]),
        ],
    )
    def test_none_is_named_after_a_user_who_is_none(
        self, folder: Path, registry: str, user: str, words: list[str]
    ) -> None:
        with fails(*words, "namespace"):
            load(folder, registry=registry, username=user)
        (folder / "feastflow.yml").write_text("services: {web: }")
        with fails(*words, "namespace"):
            load(folder, registry=registry, username=user)
        found = load(folder, registry=registry, username=user, namespace="team")
        assert str(found.services[0].repository) == f"{registry}/team/web"
        assert found.credential
        assert found.credential.username == user

    @pytest.mark.parametrize("registry", ["docker.io", "ghcr.io"])
    def test_repositories_are_lowercase_and_a_user_is_as_given(
        self, folder: Path, registry: str
    ) -> None:
        found = load(folder, registry=registry, username="Ada")
        assert found.services[0].repository == Repository(RegistryHost(registry), "ada/shop")
        assert found.credential == Credential("Ada", TOKEN)
        found = load(folder, registry=registry, token="", username="", kept=Credential("Eve", "pw"))
        assert found.services[0].repository.path == "eve/shop"
        assert found.notices == ()

    def test_names_that_expressions_give_are_lowered_and_said(self, folder: Path) -> None:
        given: dict[str, Any] = {
            "namespace": "FeastFlow",
            "image": "Shop/Web",
            "keep": "v*, Team/App:V1, sprint3",
        }
        found = load(folder, command="promote", tag="ghcr.io/Flow/shop:Prod\nteam/a", **given)
        assert found.services[0].repository.path == "feastflow/shop/web"
        assert list(map(str, found.settings.tag)) == ["ghcr.io/flow/shop:Prod", "team/a"]
        assert [each.text for each in found.settings.keep] == ["v*", "team/app:V1", "sprint3"]
        lowered = {
            "namespace": "FeastFlow is taken as feastflow",
            "image": "Shop/Web is taken as shop/web",
            "tag": "ghcr.io/Flow/shop:Prod is taken as ghcr.io/flow/shop:Prod",
            "keep": "Team/App:V1 is taken as team/app:V1",
        }
        why = "for repositories are lowercase."
        assert [*found.notices] == [f'input "{k}": {v}, {why}' for k, v in lowered.items()]

    def test_names_of_a_file_are_not(self, folder: Path) -> None:
        (folder / "feastflow.yml").write_text("namespace: Team\nservices: {web: }")
        with fails("'Team' must be lowercase", "'team'"):
            load(folder)

    def test_a_repository_may_have_no_namespace(self, folder: Path) -> None:
        found = load(folder, registry="shop.azurecr.io", namespace="/", image="app")
        assert str(found.services[0].repository) == "shop.azurecr.io/app"
        (folder / "feastflow.yml").write_text("namespace: /\nservices: {web: }")
        found = load(folder, registry="shop.azurecr.io")
        assert str(found.services[0].repository) == "shop.azurecr.io/web"

    def test_a_credential_that_cannot_be_read_is_said_and_not_missed(self, folder: Path) -> None:
        class Locked(FakeWorkspace):
            def login(self, host: RegistryHost, username: str) -> Credential | None:
                raise Failure(Kind.INPUT, "the helper is not installed.", "Install it.")

        found = load(folder, token="", workspace=Locked(folder), dry_run="true")
        assert found.credential is None
        assert found.warnings == ("the helper is not installed. Install it.",)

    def test_those_of_the_file_and_its_policy(self, folder: Path) -> None:
        text = "namespace: team\nmilestone: sprint3\nservices: {web: , api: }\n"
        (folder / "feastflow.yml").write_text(text)
        found = load(folder, services="api", milestone="sprint4")
        assert [str(each.repository) for each in found.services] == ["team/api"]
        assert [each.name for each in found.all_services] == ["web", "api"]
        assert found.settings.milestone == Tag("sprint4")
        with fails('input "image" describes one service'):
            load(folder, image="x")
        with fails('input "services": there is no service'):
            load(folder, services="apy")

    def test_those_of_a_compose_file(self, folder: Path) -> None:
        (folder / "compose.yaml").write_text("services: {web: {build: .}}")
        assert [each.name for each in load(folder, services_from="compose.yaml").services] == [
            "web"
        ]
        (folder / "compose.yaml").write_text("services: {web: {build: $FOLDER}}")
        (folder / ".env").write_text("FOLDER=.")
        with fails("takes variables from .env, which git does not track"):
            load(folder, services_from="compose.yaml")


class TestSecrets:
    def test_a_build_is_given_the_variables_that_it_names(self, folder: Path) -> None:
        found = load(folder, hidden={"NPM_TOKEN": "x"}, secrets="id=npm,env=NPM_TOKEN")
        assert found.variables == {"NPM_TOKEN": "x"}
        with fails("names the variable NPM_TOKEN, which is not set"):
            load(folder, secrets="id=npm,env=NPM_TOKEN")

    def test_one_is_missed_together_with_what_is_wrong_with_the_run(self, folder: Path) -> None:
        environ = {**RUNNER, "GITHUB_SHA": "x"}
        with fails("names the variable NPM_TOKEN", "commit"):
            load(folder, environ, secrets="id=npm,env=NPM_TOKEN")

    def test_a_command_that_builds_nothing_needs_none(self, folder: Path) -> None:
        (folder / "Dockerfile").unlink()
        assert load(folder, command="tags", secrets="id=npm,env=NPM_TOKEN").variables == {}

    def test_a_run_that_is_given_none_does_without(self, folder: Path) -> None:
        fork = {**RUNNER, "GITHUB_EVENT_NAME": "pull_request"}
        for environ in (fork, {**RUNNER, "GITHUB_ACTOR": DEPENDABOT}):
            [service] = load(folder, environ, secrets="id=npm,env=NPM_TOKEN").services
            assert service.secrets == ()

    def test_a_files_content_is_hidden_unless_anybody_may_have_written_it(
        self, folder: Path
    ) -> None:
        (folder / "secret").write_text("stop-commands")
        found = load(folder, RUNNER, secrets="id=x,src=secret")
        assert found.file_secrets == ("stop-commands",)
        fork = {**RUNNER, "GITHUB_EVENT_NAME": "pull_request"}
        assert load(folder, fork, secrets="id=x,src=secret").file_secrets == ()

    def test_the_registrys_own_token_is_never_one(self, folder: Path) -> None:
        (folder / "secret").write_text(f"password: {TOKEN}")
        for secret in ("id=x,src=secret", "id=x,env=DOCKERHUB_TOKEN", "id=x,env=OTHER"):
            with fails("is the token of this program, which no build may have"):
                load(folder, hidden={"OTHER": TOKEN}, secrets=secret)

    def test_the_token_is_refused_anywhere_else_and_alone(self, folder: Path) -> None:
        with fails('input "image" holds the registry token', "revoke") as caught:
            load(folder, image=TOKEN, reuse="x")
        assert TOKEN not in str(caught.value)
        (folder / "feastflow.yml").write_text(f"namespace: {TOKEN}")
        with fails("feastflow.yml holds the registry token"):
            load(folder)

    def test_so_is_what_docker_login_has_kept(self, folder: Path) -> None:
        with fails('input "check" holds the registry token'):
            load(folder, token="", kept=Credential("ada", TOKEN), check=f"scan --password {TOKEN}")

    def test_none_is_shown(self) -> None:
        request = Request({}, {}, Path(), "s3cret", "ghs_s3cret", {"X": "s3cret"})
        assert "s3cret" not in repr(request)


@pytest.mark.parametrize(
    ("branches", "pushes"),
    [({}, True), ({"branches": "main"}, False), ({"branches": "master"}, True)],
)
def test_the_default_branch_is_the_one_that_pushes(
    folder: Path, branches: dict[str, Any], pushes: bool
) -> None:
    (folder / "event.json").write_text('{"repository": {"default_branch": "master"}}')
    environ = {
        **RUNNER,
        "GITHUB_REF": "refs/heads/master",
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
    }
    found = load(folder, environ, **branches)
    assert found.permission.push is pushes
    assert found.settings.main == branches.get("branches", "master")
    (folder / "feastflow.yml").write_text("branches: [main]\nservices: {web: }\n")
    assert load(folder, environ, **branches).settings.main == branches.get("branches", "main")


@pytest.mark.parametrize("branches", [{}, {"branches": "main"}])
def test_by_hand_the_remotes_default_branch_is_the_main_one(
    folder: Path, branches: dict[str, Any]
) -> None:
    workspace = FakeWorkspace(folder, default_branch="trunk")
    found = load(folder, workspace=workspace, **branches)
    assert found.settings.main == branches.get("branches", "trunk")
    assert workspace.asked == [branches.get("branches", "")]
    strange = FakeWorkspace(folder, default_branch="a+b")  # A pattern would match other names.
    assert load(folder, workspace=strange).settings.main == "main"


HOLDS_SECRETS = ("pull_request_target", "issue_comment", "workflow_run", "discussion")
NOT_PUSHING = [
    *(pytest.param({"GITHUB_EVENT_NAME": each}, id=each) for each in HOLDS_SECRETS),
    pytest.param({"GITHUB_EVENT_NAME": "pull_request"}, id="pull_request"),
    pytest.param({"GITHUB_REF": "refs/heads/topic"}, id="a branch that may not push"),
]


class TestARegistryThatAFileNames:
    """It gets the credential in a run that may push, as the file was committed; else nothing."""

    @pytest.fixture
    def file(self, folder: Path) -> Path:
        (folder / "feastflow.yml").write_text("registry: evil.example\nservices: {web: }\n")
        return folder

    @pytest.mark.parametrize("command", ["tags", "doctor", "prune", "promote", "rollback"])
    @pytest.mark.parametrize("event", NOT_PUSHING)
    def test_it_gets_none_in_a_run_that_may_not_push(
        self, file: Path, event: dict[str, str], command: str
    ) -> None:
        found = load(file, {**RUNNER, **event}, command=command, dry_run="true")
        assert found.credential is None
        assert found.settings.registry == RegistryHost("evil.example"), "reading goes on"
        [warning] = found.doubts
        assert "names the registry evil.example, and the inputs of the workflow do not" in warning
        assert 'Name the registry in the input "registry"' in warning

    @pytest.mark.parametrize("event", NOT_PUSHING)
    def test_an_input_decides(self, file: Path, event: dict[str, str]) -> None:
        environ = {**RUNNER, **event}
        found = load(file, environ, command="tags", registry="ghcr.io")
        assert found.credential == Credential("ada", TOKEN)
        assert found.settings.registry == RegistryHost("ghcr.io")
        assert load(file, environ, command="tags", registry="evil.example").credential

    def test_it_is_trusted_where_it_may_push(self, file: Path) -> None:
        found = load(file, RUNNER, command="tags")
        assert found.credential == Credential("ada", TOKEN)
        assert found.doubts == ()

    def test_by_hand_no_variable_goes_there_unless_it_is_named_too(self, file: Path) -> None:
        found = load(file, {}, command="tags")
        assert found.credential is None
        [warning] = found.doubts
        assert "Give --registry evil.example, or unset the variable" in warning
        with fails("a token from a variable is sent only", "docker login evil.example"):
            load(file, {})
        assert load(file, {}, command="tags", registry="evil.example").credential

    def test_by_hand_what_docker_login_kept_for_it_goes_there(self, file: Path) -> None:
        kept = Credential("ada", "kept for that one")
        found = load(file, {}, token="", kept=kept, command="tags")
        assert (found.credential, found.doubts) == (kept, ())

    def test_docker_hub_is_where_it_goes_anyway(self, folder: Path) -> None:
        (folder / "feastflow.yml").write_text("registry: docker.io\nservices: {web: }\n")
        event = {"GITHUB_EVENT_NAME": "pull_request_target"}
        assert load(folder, {**RUNNER, **event}, command="tags").credential

    @pytest.mark.parametrize(
        ("workspace", "why"),
        [
            ({"committed": False}, "the file is not as it was committed"),
            ({"head": A}, "what is checked out is not this run's commit"),
        ],
    )
    def test_it_must_be_this_commits_own(
        self, file: Path, workspace: dict[str, object], why: str
    ) -> None:
        other = FakeWorkspace(file, **workspace)  # type: ignore[arg-type]
        found = load(file, RUNNER, workspace=other, command="tags")
        assert found.credential is None
        assert why in found.doubts[0]
        with fails("evil.example", why):
            load(file, RUNNER, workspace=other, command="rollback")

    def test_the_file_does_not_say_who_may_push(self, file: Path) -> None:
        text = "registry: evil.example\nbranches: [topic]\nservices: {web: }\n"
        (file / "feastflow.yml").write_text(text)
        topic = {**RUNNER, "GITHUB_REF": "refs/heads/topic"}
        assert load(file, topic, command="tags").credential is None
        with fails("evil.example", "the inputs of the workflow do not let this run push"):
            load(file, topic)
        assert load(file, topic, command="tags", branches="topic").credential
        (file / "event.json").write_text('{"repository": {"default_branch": "topic"}}')
        assert load(file, topic, command="tags").credential, "GitHub says which one is the main"


class TestVariablesThatAFileNames:
    """A build is given those that the workflow offers, and none in a run that may not push."""

    @pytest.fixture
    def file(self, folder: Path) -> Path:
        text = 'services: {web: {secrets: ["id=npm,env=NPM"], ssh: [default], check: scan}}'
        (folder / "feastflow.yml").write_text(text)
        return folder

    def test_the_workflow_offers_them(self, file: Path) -> None:
        with fails(
            "names the variable NPM, which this workflow does not give to builds",
            "secret-variables",
        ):
            load(file, {**RUNNER, "NPM": "word"})
        found = load(file, {**RUNNER, "NPM": "word"}, secret_variables="OTHER,NPM")
        assert found.variables == {"NPM": "word"}
        assert found.services[0].ssh == ("default",)
        assert load(file, {"NPM": "word"}).variables == {"NPM": "word"}, "by hand"

    @pytest.mark.parametrize("event", NOT_PUSHING)
    def test_a_run_that_may_not_push_gives_none(self, file: Path, event: dict[str, str]) -> None:
        environ = {**RUNNER, **event, "NPM": "word"}
        found = load(file, environ, secret_variables="NPM")
        assert found.variables == {}
        assert (found.services[0].secrets, found.services[0].ssh) == ((), ())

    @pytest.mark.parametrize("event", HOLDS_SECRETS)
    def test_nor_does_it_run_a_command_beside_its_secrets(self, file: Path, event: str) -> None:
        environ = {**RUNNER, "GITHUB_EVENT_NAME": event}
        found = load(file, environ)
        assert found.services[0].check == ""
        assert len(found.warnings) == 1
        assert "The check of web is not run" in found.warnings[0]
        assert 'name it in the input "check"' in found.warnings[0]
        assert load(file, environ, check="ours").services[0].check == "ours"

    @pytest.mark.parametrize("event", NOT_PUSHING[-2:])
    def test_who_may_write_to_the_branch_may_run_its_check(
        self, file: Path, event: dict[str, str]
    ) -> None:
        found = load(file, {**RUNNER, **event})
        assert (found.services[0].check, found.warnings) == ("scan", ())
        if "GITHUB_REF" in event:
            other = FakeWorkspace(file, head=A)
            assert load(file, {**RUNNER, **event}, workspace=other).services[0].check == ""

    POWERS = (
        "services: {web: {network: host, entitlements: [network.host],"
        ' outputs: ["type=local,dest=out"], shm_size: 1k}, api: {network: none}}'
    )

    @pytest.mark.parametrize("event", HOLDS_SECRETS)
    def test_nor_does_it_give_power_over_the_machine_beside_its_secrets(
        self, folder: Path, event: str
    ) -> None:
        (folder / "feastflow.yml").write_text(self.POWERS)
        found = load(folder, {**RUNNER, "GITHUB_EVENT_NAME": event}, command="build")
        web, api = found.services
        assert (web.options, web.outputs) == (BuildOptions(shm_size=1024), ())
        assert api.options.network == "none"
        [warning] = found.warnings
        assert warning.startswith(
            "web is built without network, entitlements, outputs of its own: "
        )
        assert found.all_services[0].powers == ()

    @pytest.mark.parametrize("event", HOLDS_SECRETS)
    def test_nor_does_it_choose_the_builder(self, folder: Path, event: str) -> None:
        """It may be in the host's network, as one that a run that may push has left there."""
        (folder / "feastflow.yml").write_text("builder: theirs\nservices: {web: }\n")
        environ = {**RUNNER, "GITHUB_EVENT_NAME": event}
        found = load(folder, environ, command="build")
        assert found.settings.builder == ""
        assert found.warnings[0].startswith("The builder theirs is not used here")
        assert load(folder, environ, command="doctor").settings.builder == ""
        found = load(folder, environ, command="build", builder="ours")
        assert (found.settings.builder, found.warnings) == ("ours", ())

    @pytest.mark.parametrize("event", [{}, *NOT_PUSHING[-2:]])
    def test_its_own_code_chooses_it(self, folder: Path, event: dict[str, str]) -> None:
        (folder / "feastflow.yml").write_text("builder: theirs\nservices: {web: }\n")
        found = load(folder, {**RUNNER, **event}, command="build")
        assert (found.settings.builder, found.warnings) == ("theirs", ())
        assert load(folder, {}, command="build").settings.builder == "theirs", "by hand"
        if not event:
            foreign = FakeWorkspace(folder, head=A)
            found = load(folder, RUNNER, workspace=foreign, command="build")
            assert found.settings.builder == ""

    @pytest.mark.parametrize("event", HOLDS_SECRETS)
    def test_the_workflows_own_word_counts(self, folder: Path, event: str) -> None:
        environ = {**RUNNER, "GITHUB_EVENT_NAME": event}
        found = load(folder, environ, network="host", allow="network.host")
        assert found.services[0].powers == ("network", "entitlements")
        assert found.warnings == ()

    @pytest.mark.parametrize("event", [{}, *NOT_PUSHING[-2:]])
    def test_its_own_code_keeps_its_powers(self, folder: Path, event: dict[str, str]) -> None:
        (folder / "feastflow.yml").write_text(self.POWERS)
        found = load(folder, {**RUNNER, **event}, command="build")
        assert len(found.services[0].powers) == 3
        assert found.warnings == ()
        foreign = FakeWorkspace(folder, head=A)
        if not event:
            found = load(folder, RUNNER, workspace=foreign, command="build")
            assert found.services[0].powers == ()

    def test_an_input_is_named_where_it_is_wrong(self, folder: Path) -> None:
        (folder / "link").symlink_to("/")
        with fails('input "network": the network host', 'input "outputs": publish pushes what'):
            load(folder, {}, network="host", outputs="type=local,dest=out")
        with fails("input \"outputs\": 'link/x' lies outside", "there is no folder 'deep'"):
            outputs = "type=local,dest=link/x\ntype=oci,dest=deep/x.tar"
            load(folder, {}, command="build", outputs=outputs)
        outputs = "type=local,dest=deep/x\ntype=oci,dest=x.tar"
        assert load(folder, {}, command="build", outputs=outputs).services[0].outputs

    @pytest.mark.parametrize(
        "name", ["ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_TOKEN", "RUNNER_TEMP", "INPUT_TOKEN"]
    )
    def test_the_runners_own_are_nobodys(self, folder: Path, name: str) -> None:
        with fails(f"the secret x is {name}, the runner's own"):
            load(folder, {**RUNNER, name: "word"}, secrets=f"id=x,env={name}")
        with fails(f"'{name}' is a variable of the runner itself"):
            load(folder, RUNNER, secret_variables=name)

    def test_what_an_input_names_is_offered(self, folder: Path) -> None:
        found = load(folder, {**RUNNER, "NPM": "word"}, secrets="id=npm,env=NPM")
        assert found.variables == {"NPM": "word"}

    def test_another_checkout_is_given_none(self, file: Path) -> None:
        other = FakeWorkspace(file, head=A)
        found = load(file, {**RUNNER, "NPM": "w"}, workspace=other, secret_variables="NPM")
        assert found.variables == {}


class TestRun:
    def test_a_git_tags_own_object_is_followed_to_its_commit(self, folder: Path) -> None:
        assert load(folder, {**RUNNER, "GITHUB_REF": "refs/tags/v1"}).run.commit == A
        assert load(folder, RUNNER).run.commit == B

    def test_a_payload_that_is_missing_is_said(self, folder: Path) -> None:
        with fails("GITHUB_EVENT_PATH is not a JSON object"):
            load(folder, {**RUNNER, "GITHUB_EVENT_PATH": "/nowhere"})

    def test_what_is_due_needs_a_credential(self, folder: Path) -> None:
        with fails("there are no credentials to push to docker.io with"):
            load(folder, RUNNER, token="")
        assert load(folder, RUNNER, token="", dry_run="true").permission.push
        for token in ("", TOKEN):  # Its pull requests are merged by its own command, too.
            dependabot = load(folder, {**RUNNER, "GITHUB_ACTOR": DEPENDABOT}, token=token)
            assert not dependabot.permission.push
            assert not dependabot.permission.shared
            assert "The next run on main publishes" in dependabot.permission.warning

    def test_the_address_of_github(self, folder: Path) -> None:
        assert load(folder).github_api == "https://api.github.com"
        assert load(folder, {"GITHUB_API_URL": "http://[::1]:80"}).github_api == "http://[::1]:80"
        with fails("GITHUB_API_URL is 'http://evil.example', which is not an https address"):
            load(folder, {"GITHUB_API_URL": "http://evil.example"})
        with fails("which is not an https address"):
            load(folder, {"GITHUB_API_URL": "http://localhost:x@evil.example"})


@pytest.mark.parametrize(("value", "answer"), [("true", True), ("", False), ("false", False)])
def test_who_runs_it(value: str, answer: bool) -> None:
    assert Request({"GITHUB_ACTIONS": value}, {}, Path()).in_runner is answer


class TestWhoseImage:
    """By hand, git tells which repository this is; in a job, GitHub does."""

    @pytest.mark.parametrize(
        ("remotes", "words"),
        [
            (
                ("git@github-work:feastflow/shop.git",),
                ["'git@github-work:feastflow/shop.git', which names no host", "HostName"],
            ),
            (
                ("../origin/shop.git",),
                [
                    "'../origin/shop.git', a folder of this machine",
                    "`git remote set-url origin https://github.com/you/shop`",
                    "`git config url.FOLDER.insteadOf https://github.com/you/shop`",
                ],
            ),
            (("https://me:secret@localhost/a/b",), ["'https://localhost/a/b', which names no"]),
            ((), ["there is no git remote origin", "git remote add origin"]),
            (("\x1b[31m/" + "x" * 500,), ["…'"]),
        ],
    )
    @pytest.mark.parametrize("command", ["publish", "push"])
    def test_nothing_is_published_for_a_repository_that_nobody_knows(
        self, folder: Path, remotes: tuple[str, ...], words: list[str], command: str
    ) -> None:
        with fails(*words) as caught:
            load(folder, workspace=FakeWorkspace(folder, remotes=remotes), command=command)
        assert len(str(caught.value)) < 450
        workspace = FakeWorkspace(folder, remotes=remotes)
        found = load(folder, workspace=workspace, command=command, dry_run="true")
        assert found.doubts == (str(caught.value),), "a dry run promises no more"

    @pytest.mark.parametrize(
        "given",
        [
            {"command": "build"},
            *[{"command": each} for each in ("tags", "doctor", "deploy", "prune", "rollback")],
        ],
    )
    def test_whatever_names_no_image_goes_on(self, folder: Path, given: dict[str, Any]) -> None:
        workspace = FakeWorkspace(folder, remotes=("/srv/git/shop",))
        assert not load(folder, workspace=workspace, **given).run.source.is_known

    def test_a_job_asks_no_remote(self, folder: Path) -> None:
        server = {"GITHUB_SERVER_URL": "https://ghes"}
        workspace = FakeWorkspace(folder, remotes=("/srv/git/shop",))
        source = load(folder, {**RUNNER, **server}, workspace=workspace).run.source
        assert (source.url, source.is_known) == ("https://ghes/FeastFlow/shop", True)


def test_what_was_typed_is_known_and_no_variable(folder: Path) -> None:
    """A variable is there for the next command too."""
    found = load(folder, {"FEASTFLOW_REGISTRY": "ghcr.io"}, registry="ghcr.io", services="shop")
    assert found.typed.get("services") == "shop"
    assert "registry" not in found.typed


class TestOtherRegistries:
    ALSO = "ghcr.io/team/{service}, quay.io/team/{service}"
    OTHERS = "ghcr.io octocat ghp_0123456789\nquay.io team+ci ROBOT0123456789"

    def test_each_has_its_place_and_its_credential(self, folder: Path) -> None:
        found = load(folder, RUNNER, others=self.OTHERS, also=self.ALSO)
        assert [str(each.repository) for each in found.also] == [
            *("ghcr.io/team/shop", "quay.io/team/shop")
        ]
        assert {str(host): each.token for host, each in found.also_credentials.items()} == {
            "ghcr.io": "ghp_0123456789",
            "quay.io": "ROBOT0123456789",
        }
        assert "0123456789" not in repr(found)

    def test_what_docker_login_has_kept_counts(self, folder: Path) -> None:
        kept = Credential("eve", "kept0123456789")
        others = self.OTHERS.splitlines()[0]
        found = load(folder, RUNNER, kept=kept, others=others, also=self.ALSO)
        tokens = [each.token for each in found.also_credentials.values()]
        assert tokens == ["ghp_0123456789", "kept0123456789"]

    def test_one_without_a_credential_is_refused_before_anything_is_built(
        self, folder: Path
    ) -> None:
        others = self.OTHERS.splitlines()[0]
        with fails("no credentials to push to quay.io", "docker login quay.io"):
            load(folder, RUNNER, others=others, also=self.ALSO)
        assert load(folder, RUNNER, others=others, also=self.ALSO, dry_run="true").also
        for command in ("tags", "build"):
            assert load(folder, RUNNER, others=others, also=self.ALSO, command=command).also

    def test_one_that_is_not_worked_on_needs_none(self, folder: Path) -> None:
        """It is down, or nobody is logged in there: the others can be rolled back all the same."""
        back = partial(load, folder, RUNNER, command="rollback", also=self.ALSO)
        assert back(registries="docker.io").also_credentials == {}
        with fails("no credentials to push to quay.io"):
            back(registries="docker.io, quay.io")

    def test_a_pull_request_needs_none(self, folder: Path) -> None:
        environ = {**RUNNER, "GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/1/merge"}
        found = load(folder, environ, token="", also=self.ALSO)
        assert found.also_credentials == {}

    def test_one_for_a_registry_that_is_not_named(self, folder: Path) -> None:
        with fails(
            'input "also-credentials": entry 2 is for a registry that the input "also" does'
        ):
            load(folder, RUNNER, others=self.OTHERS, also="ghcr.io/team/{service}")
        with fails('input "also-credentials": entry 1 is for a registry'):
            load(folder, RUNNER, others=f"docker.io ada {TOKEN}", also="team/{service}")

    def test_what_is_wrong_is_said_together(self, folder: Path) -> None:
        with fails(
            'input "also": ada/shop is the repository of shop already', "entry 1 is no registry"
        ):
            load(folder, RUNNER, others="ghp_0123456789", also="ada/{service}")
        with fails('input "reuse"', "entry 1 is no registry"):
            load(folder, RUNNER, others="ghp_0123456789", reuse="x", also="ada/{service}")

    def test_no_input_and_no_file_may_hold_its_token(self, folder: Path) -> None:
        with fails('input "check" holds the registry token'):
            load(folder, RUNNER, others=self.OTHERS, also=self.ALSO, check="x ghp_0123456789")
        with fails('input "also" holds the registry token'):
            load(folder, others="ghcr.io octocat team01234", also="ghcr.io/team01234/{service}")

    def test_nor_a_build(self, folder: Path) -> None:
        with fails("is the token of this program, which no build may have"):
            load(
                folder,
                {"MINE": "ghp_0123456789"},
                others=self.OTHERS,
                also=self.ALSO,
                secrets="id=x,env=MINE",
            )

    def test_capitals_are_lowered(self, folder: Path) -> None:
        found = load(folder, RUNNER, others=self.OTHERS, also="GHCR.io/Team/{service}, quay.io/T/x")
        assert [str(each.repository) for each in found.also] == ["ghcr.io/team/shop", "quay.io/t/x"]
        assert 'input "also": ' in found.notices[0]

    def test_no_file_may_name_one(self, folder: Path) -> None:
        (folder / "feastflow.yml").write_text("also: [ghcr.io/team/shop]\n")
        with fails("also"):
            load(folder)
