"""Whose image it is: what git and ssh make of a remote, and what GitHub says of former names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.clients import quick_client
from support.machine import Machine, Ran
from support.published_pair import MILESTONE, PublishedPair
from support.registries import GITHUB_TOKEN, REPOSITORY, LocalRegistry
from support.repositories import DOCKERFILE, PAGE
from support.servers.fault_proxy import FaultProxy
from support.servers.faults import Fault
from support.servers.github_api import NUMBER, READ, GitHubApi
from support.soak import chosen, one_in

from feastflow_registry.git import origin
from feastflow_registry.git.former_names import FormerNames
from feastflow_registry.git.github import GitHubApi as GitHubClient
from feastflow_registry.git.origin import addresses
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.parallel import spread
from integration.conftest import Builder

NEW = "neworg/web"
SOURCE = "org.opencontainers.image.source"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: %s}]}\n"
SSH = """\
#!/bin/sh
for word; do [ "$word" = -G ] && exec {ssh} -F "$HOME/ssh_config" "$@"; done
exec git upload-pack {origin}
"""
"""The real ssh with a configuration of the test's; what it would connect to is on this machine."""


@dataclass
class Shop:
    """Two commits that are published under the first name; `latest` holds the second."""

    machine: Machine
    api: GitHubApi
    github: FaultProxy
    first: str
    second: str
    repository: str = REPOSITORY
    number: str = str(NUMBER)

    @property
    def place(self) -> LocalRegistry:
        return self.machine.place

    @property
    def project_git(self) -> Callable[..., str]:
        return self.machine.project.git

    def digest(self, sha: str) -> str:
        return self.place.tags()[f"commit-{sha[:7]}"]

    def rename(self, name: str = NEW) -> None:
        """Call the repository otherwise on GitHub."""
        self.api.rename(name)
        self.repository = name

    def run(self, command: str = "publish", **inputs: Any) -> Ran:
        """Run a command in a job of the repository, as it is called now."""
        event = "push" if command == "publish" else "workflow_dispatch"
        given = {"command": command, "image": "app", **inputs}
        names = {"GITHUB_REPOSITORY": self.repository, "GITHUB_REPOSITORY_ID": self.number}
        return self.machine.call({**self.machine.runner(event=event, **given), **names})

    def by_hand(self, *arguments: str) -> Ran:
        """Run a command in a person's shell."""
        environ = self.machine.laptop(FEASTFLOW_REGISTRY=self.place.host, FEASTFLOW_IMAGE="app")
        return self.machine.run({**environ, "GITHUB_API_URL": self.github.url}, *arguments)

    def asked(self, name: str) -> list[str]:
        """The requests to GitHub's API about a repository itself."""
        paths = [each.path for each in self.github.requests]
        return [each for each in paths if each.lower() == f"/repos/{name}".lower()]


@pytest.fixture
def shop(
    place: LocalRegistry,
    machines: Callable[[LocalRegistry, Builder], Machine],
    remote: Builder,
    pair: PublishedPair,
    api: GitHubApi,
    github: FaultProxy,
) -> Shop:
    pair.lay_out(place)
    shop = Shop(machines(place, remote), api, github, pair.first, pair.second)
    place.untag(MILESTONE)
    place.retag({"latest": shop.digest(shop.second)})
    return shop


@pytest.fixture
def ssh(shop: Shop, tmp_path: Path) -> Callable[[str], None]:
    """Give the machine an ssh with a configuration."""

    def give(config: str) -> None:
        folder, machine = tmp_path / "bin", shop.machine
        folder.mkdir()
        program = folder / "ssh"
        real = shutil.which("ssh", path=machine.variables["PATH"])
        program.write_text(SSH.format(ssh=real, origin=machine.project.origin))
        program.chmod(0o755)
        machine.home.mkdir(parents=True, exist_ok=True)
        (machine.home / "ssh_config").write_text(config)
        path = f"{folder}:{machine.variables['PATH']}"
        machine.variables = {**machine.variables, "PATH": path}

    return give


def host(name: str, real: str = "github.com") -> str:
    """An alias in the configuration of ssh."""
    return f"Host {name}\n  HostName {real}\n  User git\n"


REMOTES: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "an alias": (f"git@github-work:{REPOSITORY}.git", host("github-work"), {}),
    "port 443": (f"ssh://git@ssh.github.com:443/{REPOSITORY}.git", "", {}),
    "insteadOf": (f"gh:{REPOSITORY}.git", "", {"git@github.com:": "gh:"}),
    # https://github.com/cli/cli/issues/4621: an alias that looks like a name of the DNS.
    "an alias with dots": (
        f"git@github.com-work:{REPOSITORY}.git",
        host("github.com-personal") + host("github.com-work"),
        {},
    ),
    # https://github.com/cli/cli/issues/4217: an alias of the host that takes SSH on port 443.
    "an alias of port 443": (
        f"git@work:{REPOSITORY}.git",
        host("work", "ssh.github.com") + "  Port 443\n",
        {},
    ),
    # https://github.com/cli/cli/issues/6455
    "a pattern": (f"git@github-enterprise:{REPOSITORY}.git", host("github-*"), {}),
    "a name that ssh would look up": (
        f"git@github-work:{REPOSITORY}.git",
        "CanonicalizeHostname yes\nCanonicalDomains invalid\nCanonicalizeFallbackLocal no\n"
        + host("github-work"),
        {},
    ),
    # https://github.com/max-sixty/worktrunk/pull/1546: from GitHub to an alias that ssh knows.
    "insteadOf to an alias": (
        f"git@github.com:{REPOSITORY}.git",
        host("github-internal"),
        {"git@github-internal:feastflow/": "git@github.com:feastflow/"},
    ),
}


class TestCase6:
    """CASES.md, case 6: one identity, whatever leads to it; nothing unknown is published."""

    @pytest.mark.parametrize("name", chosen(REMOTES))
    def test_whatever_leads_to_github_is_github(
        self, shop: Shop, ssh: Callable[[str], None], name: str
    ) -> None:
        remote, config, rewritten = REMOTES[name]
        ssh(config)
        settings = [f'[url "{base}"]\n insteadOf = {each}\n' for base, each in rewritten.items()]
        (shop.machine.home / ".gitconfig").write_text("".join(settings))
        shop.project_git("remote", "set-url", "origin", remote)
        ran = shop.by_hand("rollback")
        assert ran.code == 0, ran.log
        assert shop.place.digest("latest") == shop.digest(shop.first)
        ran = shop.by_hand("promote", "--to", shop.first[:7], "--tag", "demo")
        assert ran.code == 0, ran.log
        manifest = shop.machine.project.folder / "pod.yaml"
        manifest.write_text(POD % f"{shop.place.repository}:old")
        ran = shop.by_hand("deploy", "--manifests", "pod.yaml", "--to", shop.first)
        assert ran.code == 0, ran.log
        assert shop.digest(shop.first) in manifest.read_text()
        assert f"✓ repository: {PAGE}\n" in shop.by_hand("doctor").log
        assert not shop.github.requests

    def test_what_is_published_by_hand_is_the_workflows_own(
        self, shop: Shop, ssh: Callable[[str], None]
    ) -> None:
        ssh(host("github-work"))
        shop.machine.project.commit()
        shop.project_git("remote", "set-url", "origin", f"git@github-work:{REPOSITORY}.git")
        ran = shop.by_hand("publish")
        assert ran.code == 0, ran.log
        assert shop.place.labels("latest")[SOURCE] == PAGE
        ran = shop.run().ended()
        assert "reused" in ran.log
        assert not shop.asked(REPOSITORY)

    @pytest.mark.parametrize(
        ("address", "shown"),
        chosen(
            [
                (
                    f"git@github-work:{REPOSITORY}.git",
                    f"'git@github-work:{REPOSITORY}.git', which names no host that others know",
                ),
                (
                    f"git@github.com-work:{REPOSITORY}.git",
                    f"'git@github.com-work:{REPOSITORY}.git', which names no host that others know",
                ),
                ("/srv/git/app.git", "'/srv/git/app.git', a folder of this machine"),
                (
                    f"http://me:secret@localhost/{REPOSITORY}",
                    f"'http://localhost/{REPOSITORY}', which names no host that others know",
                ),
            ]
        ),
    )
    def test_under_an_unknown_name_nothing_is_published(
        self, shop: Shop, ssh: Callable[[str], None], address: str, shown: str
    ) -> None:
        ssh(host("another"))
        shop.project_git("remote", "set-url", "origin", address)
        before = shop.place.tags()
        asked = len(shop.place.proxy.requests)
        for command in ("publish", "push"):
            ran = shop.by_hand(command)
            assert ran.code == 2, ran.log
            assert f"origin is {shown}" in ran.log
            assert "git remote set-url origin" in ran.log
        assert len(shop.place.proxy.requests) == asked
        assert shop.place.tags() == before
        ran = shop.by_hand("tags")
        assert ran.code == 0, ran.log
        shop.project_git("commit", "--quiet", "--allow-empty", "-m", "Unpublished")
        ran = shop.by_hand("publish", "--dry-run")
        assert ran.code == 0, ran.log
        ran = shop.by_hand("doctor")
        assert ran.code == 2, ran.log
        assert "✗ repository: " in ran.log

    def test_what_was_published_under_an_alias_is_taken_by_its_name(self, shop: Shop) -> None:
        """As an older version did by hand: the workflow of that commit ended with 6 for good."""
        alias = f"https://github-work/{REPOSITORY}"
        shop.machine.project.commit()
        names = {"GITHUB_SERVER_URL": "https://github-work"}
        shop.machine.call({**shop.machine.runner(image="app"), **names}).ended()
        ran = shop.run().ended(6)
        assert f'of "{alias}"' in ran.errors[0]
        assert "also-known-as" in ran.errors[0]
        shop.run(also_known_as=alias).ended()

    def test_an_ssh_that_hangs_or_is_missing_tells_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remote = "git@alias:feastflow/app"
        assert origin.addresses(remote, remote, {"PATH": str(tmp_path)}) == (remote,)
        program = tmp_path / "ssh"
        program.write_text("#!/bin/sh\nexec /bin/sleep 3600\n")
        program.chmod(0o755)
        monkeypatch.setattr(origin, "_SECONDS", 0.1)
        assert origin.addresses(remote, remote, {"PATH": str(tmp_path)}) == (remote,)
        program.write_text("#!/bin/sh\necho 'user git'; echo 'hostname git.example'\n")
        monkeypatch.setattr(origin, "_SECONDS", 60)
        found = origin.addresses(remote, remote, {"PATH": str(tmp_path)})
        assert found == ("ssh://git.example/feastflow/app", remote)

    def test_a_mirror_is_a_name_and_github_the_page(self) -> None:
        """https://github.com/cli/cli/issues/12916: the network leads to a proxy by insteadOf."""
        mirror = f"http://my-proxy.example:9989/{REPOSITORY}"
        assert origin.addresses(PAGE, mirror, {}) == (PAGE, mirror)
        assert origin.addresses("", "", {}) == ()


class TestCase7:
    """CASES.md, case 7: after a rename everything works that did before."""

    def test_every_command(self, shop: Shop) -> None:
        shop.rename()
        ran = shop.run().ended()
        assert "reused" in ran.log
        assert len(shop.asked(REPOSITORY)) == 1
        assert not shop.asked(NEW)
        third = shop.machine.project.commit()
        shop.run().ended()
        assert shop.place.labels("latest")[SOURCE] == f"https://github.com/{NEW}"
        shop.run("rollback").ended()
        assert shop.place.digest("latest") == shop.digest(shop.second)
        shop.run("rollback", to=shop.first).ended()
        assert shop.place.digest("latest") == shop.digest(shop.first)
        shop.run("promote", to=shop.first, tag="demo").ended()
        assert shop.place.digest("demo") == shop.digest(shop.first)
        manifest = shop.machine.project.folder / "pod.yaml"
        manifest.write_text(POD % f"{shop.place.repository}:old")
        shop.run("deploy", manifests="pod.yaml", to="latest").ended()
        assert shop.digest(shop.first) in manifest.read_text()
        assert third[:7] in shop.run("tags").ended().log
        shop.run("prune", dry_run="false", keep_days="1", keep_last="1").ended()

    def test_what_did_not_change_is_carried_forward(self, shop: Shop) -> None:
        inputs = {"context": "web", "reuse": "unchanged"}
        files = {"web/Dockerfile": DOCKERFILE, "web/page.html": "<h1>web</h1>"}
        third = shop.machine.project.commit(files)
        shop.run(**inputs).ended()
        shop.rename()
        shop.machine.project.commit()
        ran = shop.run(**inputs).ended()
        assert f"unchanged since {third[:7]}" in ran.log

    def test_while_names_agree_nobody_is_asked(self, shop: Shop) -> None:
        shop.run().ended()
        shop.run("rollback").ended()
        assert not shop.asked(REPOSITORY)

    @pytest.mark.parametrize("number", ["", "x"])
    def test_without_its_number_the_repository_itself_is_asked(
        self, shop: Shop, number: str
    ) -> None:
        shop.rename()
        shop.number = number
        shop.run().ended()
        assert (len(shop.asked(REPOSITORY)), len(shop.asked(NEW))) == (1, 1)

    def test_by_hand_before_and_after_the_remote_is_changed(self, shop: Shop) -> None:
        """The remote still has the former name, and the workflow publishes under the new one."""
        shop.api.private = False
        shop.rename()
        shop.machine.project.commit()
        shop.run().ended()
        ran = shop.by_hand("rollback")
        assert ran.code == 0, ran.log
        new = f"https://github.com/{NEW}"
        shop.project_git("config", f"url.{shop.machine.project.origin}.insteadOf", new)
        shop.project_git("remote", "set-url", "origin", new)
        ran = shop.by_hand("promote", "--to", shop.first[:7], "--tag", "demo")
        assert ran.code == 0, ran.log

    def test_by_hand_github_is_asked_about_its_own_names_alone(self, shop: Shop) -> None:
        server = "https://git.example"
        shop.machine.project.commit()
        shop.api.rename("old/app")
        names = {"GITHUB_SERVER_URL": server, "GITHUB_REPOSITORY": "old/app"}
        shop.machine.call({**shop.machine.runner(image="app"), **names}).ended()
        new = f"{server}/{REPOSITORY}"
        shop.project_git("config", f"url.{shop.machine.project.origin}.insteadOf", new)
        shop.project_git("remote", "set-url", "origin", new)
        asked = len(shop.github.requests)
        promote = ("promote", "--tag", "demo")
        ran = shop.by_hand(*promote)
        assert ran.code == 6, ran.log
        assert "give it in --also-known-as" in ran.log
        ran = shop.by_hand(*promote, "--also-known-as", "old/app")
        assert ran.code == 0, ran.log
        assert len(shop.github.requests) == asked

    def test_transferred_with_images_that_were_copied(self, shop: Shop) -> None:
        """https://github.com/grate-devs/grate/issues/799: all old images go to the new owner's."""
        shop.rename("grate-devs/grate")
        shop.run("promote", to=shop.second, tag=f"grate-devs/grate:commit-{shop.second[:7]}")
        target = {"namespace": "grate-devs", "image": "grate"}
        shop.run("promote", to=shop.second, tag="grate-devs/grate").ended()
        ran = shop.run(**target).ended()
        assert "reused" in ran.log
        assert shop.place.digest("latest", "grate-devs/grate") == shop.digest(shop.second)

    def test_a_former_name_that_somebody_else_took(self, shop: Shop) -> None:
        """https://github.com/github/gh-gei/issues/1074: renamed away, and made anew."""
        shop.rename()
        shop.api.former.clear()
        shop.api.strangers[REPOSITORY] = 4711
        before = shop.place.tags()
        for command in ("publish", "rollback", "promote"):
            ran = shop.run(command, **({} if command == "publish" else {"tag": "latest"}))
            ran.ended(6)
            assert f'of "{PAGE}"' in ran.errors[0]
            assert 'give it in the input "also-known-as"' in ran.errors[0]
        assert shop.place.tags() == before
        asked = len(shop.asked(REPOSITORY))
        shop.run(also_known_as=REPOSITORY).ended()
        assert len(shop.asked(REPOSITORY)) == asked, "what is said needs no asking"

    def test_a_name_that_nobody_has(self, shop: Shop) -> None:
        """GitHub, which shows our own repository, has no former name of it: it is another's."""
        shop.rename()
        shop.api.former.clear()
        ran = shop.run().ended(6)
        assert "also-known-as" in ran.errors[0]


REFUSALS: Mapping[str, tuple[Mapping[str, Any], int, str]] = {
    "another host": (
        {"status": 301, "headers": {"Location": "https://evil.example/repositories/1296269"}},
        5,
        "redirects to another host",
    ),
    "itself": ({"status": 301, "headers": {"Location": "?again"}}, 5, "redirects without end"),
    "nonsense": ({"status": 200, "body": b"[]"}, 5, "sends damaged answers"),
    "no number": ({"status": 200, "body": b'{"id": null}'}, 5, "sends damaged answers"),
    "no finite number": ({"status": 200, "body": b'{"id": 1e999}'}, 5, "sends damaged answers"),
    "a part of a number": ({"status": 200, "body": b'{"id": 1296269.5}'}, 5, "sends damaged"),
    "a truth": ({"status": 200, "body": b'{"id": true}'}, 5, "sends damaged answers"),
    "a rate limit": (
        {"status": 403, "headers": {"X-RateLimit-Remaining": "0", "Retry-After": "3600"}},
        5,
        "",
    ),
    "no right": ({"status": 403, "body": b"{}"}, 3, "answered 403"),
    "gone": ({"status": 451, "body": b"{}"}, 5, "answered 451"),
}


class TestWhereGitHubDoesNotTell:
    @pytest.mark.parametrize("name", one_in(4, REFUSALS))
    def test_nothing_is_guessed(self, shop: Shop, name: str) -> None:
        facts, code, words = REFUSALS[name]
        shop.rename()
        before = shop.place.tags()
        fault: dict[str, Any] = {"path": f"/repos/{REPOSITORY}", "times": None, **facts}
        shop.github.add(Fault("status", **fault))
        ran = shop.run().ended(code)
        assert words in ran.errors[0]
        assert f"whether this repository was {REPOSITORY} is not known" in ran.errors[0]
        assert 'give that name in the input "also-known-as"' in ran.errors[0]
        assert shop.place.tags() == before
        shop.run(also_known_as=REPOSITORY).ended()

    def test_a_private_repository_and_no_token(self, shop: Shop) -> None:
        shop.rename()
        shop.api.private = True
        shop.api.tokens[GITHUB_TOKEN] = [READ]
        ran = shop.run(github_token="").ended(3)
        assert "GitHub does not show this repository" in ran.errors[0]
        assert "also-known-as" in ran.errors[0]

    @pytest.mark.parametrize("told", [True, False])
    def test_each_name_is_asked_for_once_however_many_ask(self, shop: Shop, told: bool) -> None:
        shop.rename()
        if not told:
            fault: dict[str, Any] = {"status": 451, "body": b"{}", "times": None}
            shop.github.add(Fault("status", path=f"/repos/{REPOSITORY}$", **fault))
        api = GitHubClient(quick_client(), shop.github.url, NEW, GITHUB_TOKEN)
        names = FormerNames(api, shop.number)

        def ask(_: int) -> bool:
            with suppress(Failure):
                return names.holds(REPOSITORY)
            return False

        assert spread(ask, range(20)) == [told] * 20
        assert len(shop.asked(REPOSITORY)) == 1


@pytest.mark.parametrize("name", ["app", "../app", "https://github.com/", "a b/c", "a/b/c", "a/.."])
def test_a_malformed_name_is_refused_before_the_first_request(shop: Shop, name: str) -> None:
    before = len(shop.place.proxy.requests)
    ran = shop.run(also_known_as=name).ended(2)
    assert 'input "also-known-as"' in ran.errors[0]
    assert "owner/name" in ran.errors[0]
    assert len(shop.place.proxy.requests) == before
    assert not shop.github.requests


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("github-work", True),
        ("work_1.example", True),
        ("a$(touch${IFS}x)b", False),
        ("a`touch`b", False),
        ("a;touch", False),
        ("a'b", False),
    ],
)
def test_ssh_is_asked_about_no_name_that_a_shell_would_obey(
    tmp_path: Path, name: str, asked: bool
) -> None:
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\necho asked >{tmp_path}/asked\n")
    program.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    written = f"ssh://git@{name}/feastflow/app.git"
    assert addresses(written, "", environ) == (written,)
    assert (tmp_path / "asked").exists() is asked
