"""The first configuration of a repository, and where it is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.failures import fails
from support.memory import FakeLog
from support.runs import MOMENT, A

from feastflow_registry.commands import init
from feastflow_registry.commands.app import LocalWorkspace
from feastflow_registry.commands.init import SCHEMA, draft
from feastflow_registry.config import file, settings
from feastflow_registry.model.history import Checkout


def drafted(*paths: str, repository: str = "feastflow/feastflow") -> dict[str, tuple[str, ...]]:
    """Each service's image, context and dockerfile, as they are read again."""
    found = file.read("feastflow.yml", draft(repository, paths).encode())
    services = found.build(settings.parse({}), "feastflow")
    return {each.name: (each.repository.name, each.context, each.dockerfile) for each in services}


def test_a_single_service_is_the_repository() -> None:
    assert draft("feastflow/Shop", ["Dockerfile", "README.md"]) == (
        f"# yaml-language-server: $schema={SCHEMA}\n"
        "# The services of this repository: look over the names and the contexts, and take out "
        "what is not\n# to be published. The policy of the action (milestone, reuse, branches) can "
        "be said here, too.\nservices:\n  shop:\n    image: shop\n    context: .\n"
    )


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["app/Dockerfile"], {"feastflow": ("feastflow", "app", "Dockerfile")}),
        (
            ["frontend/app/Dockerfile", "services/pricing/Dockerfile"],
            {
                "frontend": ("feastflow-frontend", "frontend/app", "Dockerfile"),
                "pricing": ("feastflow-pricing", "services/pricing", "Dockerfile"),
            },
        ),
        (
            ["Dockerfile", "Dockerfile.worker", "jobs/mail.Dockerfile", "Dockerfile.dockerignore"],
            {
                "feastflow": ("feastflow", ".", "Dockerfile"),
                "worker": ("feastflow-worker", ".", "Dockerfile.worker"),
                "mail": ("feastflow-mail", "jobs", "mail.Dockerfile"),
            },
        ),
        (
            ["a/web/Dockerfile", "b/web/Dockerfile", "web/Dockerfile"],
            {
                "web": ("feastflow-web", "a/web", "Dockerfile"),
                "b-web": ("feastflow-b-web", "b/web", "Dockerfile"),
                "web-2": ("feastflow-web-2", "web", "Dockerfile"),
            },
        ),
        (
            ["no/Dockerfile", "0012/Dockerfile", 'a "b\\ü/Dockerfile', "x\ny/Dockerfile"],
            {
                "no": ("feastflow-no", "no", "Dockerfile"),
                "0012": ("feastflow-0012", "0012", "Dockerfile"),
                "a-b": ("feastflow-a-b", 'a "b\\ü', "Dockerfile"),
            },
        ),
    ],
)
def test_services_are_named_after_their_folders(
    paths: list[str], expected: dict[str, tuple[str, ...]]
) -> None:
    assert drafted(*paths) == expected


def test_a_repository_without_a_name_of_its_own() -> None:
    assert drafted("Dockerfile", repository="feastflow/___")["image"][0] == "image"


@pytest.mark.parametrize("paths", [[], ["README.md"], ["a/Dockerfile.dockerignore"]])
def test_a_repository_without_a_dockerfile(paths: list[str]) -> None:
    with fails("no Dockerfile among the files that git tracks", "git add"):
        draft("feastflow/shop", paths)


FOLDERS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/:"), min_size=1)
FOLDERS |= st.sampled_from(["app", "src", "no", "null", "web", "a b", "1.10", "web-2", "~", "y"])
FOLDERS = FOLDERS.filter(lambda each: each not in (".", "..") and not each.startswith("git@"))
FILES = st.sampled_from(["Dockerfile", "Dockerfile.web", "web.Dockerfile", "Dockerfile.1"])


@given(
    st.text(max_size=9),
    st.sets(st.tuples(st.lists(FOLDERS, max_size=3).map("/".join), FILES), min_size=1, max_size=9),
)
def test_every_dockerfile_is_found_again(repository: str, places: set[tuple[str, str]]) -> None:
    paths = [f"{folder}/{file}".lstrip("/") for folder, file in places]
    found = drafted(*paths, repository=repository)
    assert {(context, dockerfile) for _, context, dockerfile in found.values()} == {
        (folder or ".", file) for folder, file in places
    }
    assert len(found) == len(places)
    assert len({image for image, _, _ in found.values()}) == len(places)


@dataclass(frozen=True)
class Tracked(LocalWorkspace):
    """A working copy with one Dockerfile, and nothing else that git knows."""

    remote: str = ""

    def checkout(self, main: str) -> Checkout:
        default = "trunk" if self.remote else ""
        return Checkout(A, MOMENT, "main", self.remote, default_branch=default)

    def tracked(self) -> Iterable[str]:
        return ["Dockerfile"]


@pytest.mark.parametrize(
    ("remote", "name"), [("git@github.com:feastflow/Shop.git", "shop"), ("", "my-folder")]
)
def test_the_file_is_written_once(tmp_path: Path, remote: str, name: str) -> None:
    folder = tmp_path / "My folder"
    folder.mkdir()
    log = FakeLog()
    init.run(Tracked(folder, {}, remote), log)
    written = (folder / "feastflow.yml").read_text()
    assert written == draft(name, ["Dockerfile"])
    assert log.lines[0][1].startswith("✅ Wrote feastflow.yml.")
    branch = "trunk" if remote else "main"
    assert f"push from {branch} and from git tags: `branches` names other" in log.lines[1][1]
    with fails("there is a feastflow.yml already", "remove it"):
        init.run(Tracked(folder, {}, remote), log)
    assert (folder / "feastflow.yml").read_text() == written
