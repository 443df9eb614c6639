"""What counts as the inputs of an image, and what keeps them from being known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from support.runs import service

from feastflow_registry.model.history import SUBMODULE, Tree
from feastflow_registry.model.services import Annotation, BuildOptions, Secret, Service, SmokeTest
from feastflow_registry.tags.fingerprint import Fingerprint, fingerprint

ANY: Any = "x"
FILE, LINK, FOLDER = "100644", "120777", "40755"
APP = replace(service("app"), context="app", labels=(("a", "b"),))
TREE = Tree(
    dict.fromkeys(
        (
            "README.md",
            "app/Dockerfile",
            "app/src/main.py",
            "apple/main.py",
            "docker/Dockerfile",
            "docker/Dockerfile.dockerignore",
            "lib/deep/lib.py",
            ".npmrc",
        ),
        FILE,
    ),
    dict.fromkeys(("app", "app/src", "apple", "docker", "lib", "lib/deep"), FOLDER),
    (),
    lambda name: f"what is in {name}",
)


def of(
    service: Service = APP,
    tree: Tree = TREE,
    known: Mapping[str, Service] | None = None,
    **options: str,
) -> Fingerprint:
    return fingerprint(service, known or {}, tree, options)


def digest(service: Service = APP, tree: Tree = TREE, **options: str) -> str:
    found = of(service, tree, None, **options)
    assert found.digest.startswith("sha256:")
    assert not found.doubt
    return found.digest


def test_the_order_in_which_options_are_told_counts_not() -> None:
    assert digest(a="1", b="2") == digest(b="2", a="1")


def changed(name: str, tree: Tree = TREE, *, mode: str = FILE, text: str = "new") -> Tree:
    """A tree where a file has another content."""
    files = {**tree.files, name: mode}
    return replace(
        tree, files=files, digest=lambda each: text if each == name else tree.digest(each)
    )


def without(name: str) -> Tree:
    return replace(TREE, files={each: TREE.files[each] for each in TREE.files if each != name})


def test_the_same_inputs_have_the_same_digest() -> None:
    backwards = replace(TREE, files=dict(reversed(list(TREE.files.items()))))
    assert digest() == digest(tree=backwards)


@pytest.mark.parametrize("name", ["app/Dockerfile", "app/src/main.py"])
def test_a_file_of_the_context_counts(name: str) -> None:
    modes = [digest(tree=replace(TREE, files={**TREE.files, name: "100600"})), digest()]
    contents = [digest(tree=changed(name)), digest(tree=changed(name, text="newer"))]
    assert len({*modes, *contents}) == 4


def test_files_come_and_go() -> None:
    assert (
        len({digest(), digest(tree=changed("app/new")), digest(tree=without("app/src/main.py"))})
        == 3
    )


@pytest.mark.parametrize("name", ["app", "app/src"])
def test_who_may_enter_a_folder_counts(name: str) -> None:
    assert digest(tree=replace(TREE, folders={**TREE.folders, name: "40700"})) != digest()
    assert digest(tree=replace(TREE, folders={**TREE.folders, "lib": "40700"})) == digest()


@pytest.mark.parametrize(
    "name", ["README.md", "apple/main.py", "lib/deep/lib.py", "docker/Dockerfile"]
)
def test_a_file_of_somebody_else_does_not(name: str) -> None:
    assert digest(tree=changed(name)) == digest()
    assert digest(tree=without(name)) == digest()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "shop"},
        {"target": "test"},
        {"args": (("A", "1"),)},
        {"platforms": ("linux/arm64",)},
        {"labels": ()},
        {"secrets": (Secret("npm", variable="NPM"),)},
        {"secrets": (Secret("npm", file=".npmrc"),)},
        {"ssh": ("default",)},
        {"smoke_test": SmokeTest(80)},
        {"check": "true"},
        {"contexts": (("base", "docker-image://busybox"),)},
        {"watch": ("lib",)},
        {"annotations": (Annotation("index", "a", "b"),)},
        *({"options": BuildOptions(**{each.name: ANY})} for each in fields(BuildOptions)),
        {"dockerfile": "../docker/Dockerfile"},
        {"context": "app/src", "dockerfile": "../Dockerfile"},
    ],
)
def test_the_definition_counts(change: dict[str, object]) -> None:
    assert digest(replace(APP, **change)) != digest()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"repository": service("other").repository},
        {"pull": True},
        {"no_cache": True},
        {"outputs": ("type=local,dest=out",)},
    ],
)
def test_what_makes_no_other_image_does_not(change: dict[str, object]) -> None:
    assert digest(replace(APP, **change)) == digest()  # type: ignore[arg-type]


def test_the_options_count() -> None:
    assert len({digest(), digest(machine="x86_64"), digest(machine="aarch64")}) == 3


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"watch": ("lib",)}, ["lib/deep/lib.py", "lib/new"]),
        ({"watch": ("lib/deep",)}, ["lib/deep/lib.py"]),
        ({"watch": ("README.md",)}, ["README.md"]),
        ({"contexts": (("lib", "lib"),)}, ["lib/deep/lib.py"]),
        (
            {"dockerfile": "../docker/Dockerfile"},
            ["docker/Dockerfile", "docker/Dockerfile.dockerignore"],
        ),
        ({"secrets": (Secret("npm", file=".npmrc"),)}, [".npmrc"]),
    ],
)
def test_what_the_definition_names_counts(change: dict[str, object], names: list[str]) -> None:
    one = replace(APP, **change)  # type: ignore[arg-type]
    for name in names:
        assert digest(one, changed(name)) != digest(one), name


def test_a_secret_that_is_not_tracked_is_known_by_its_name() -> None:
    one = replace(APP, secrets=(Secret("npm", file="secret.txt"),))
    assert digest(one) == digest(one, replace(TREE, untracked=("secret.txt",)))


def test_a_service_that_it_is_built_from_counts() -> None:
    base = replace(service("base"), context="lib", dockerfile="../docker/Dockerfile")
    one = replace(APP, contexts=(("base", "service:base"),))
    before = of(one, known={"base": base}).digest
    assert before
    assert of(one, changed("lib/deep/lib.py"), {"base": base}).digest != before
    assert of(one, known={"base": replace(base, target="x")}).digest != before
    doubtful = replace(TREE, untracked=("lib/x",))
    assert of(one, doubtful, {"base": base}) == Fingerprint("", "lib/x is not tracked")


@pytest.mark.parametrize(
    ("service", "tree", "doubt"),
    [
        (replace(APP, context="."), TREE, "a context that is the whole repository holds .git too"),
        (
            replace(APP, context="app/.."),
            TREE,
            "a context that is the whole repository holds .git too",
        ),
        (replace(APP, context="none"), TREE, "none holds no tracked file"),
        (replace(APP, watch=("typo",)), TREE, "typo holds no tracked file"),
        (replace(APP, dockerfile="none"), TREE, "app/none is not tracked"),
        (APP, replace(TREE, untracked=("app/src/empty",)), "app/src/empty is not tracked"),
        (APP, replace(TREE, untracked=("app/Dockerfile.dockerignore",)), "not tracked"),
        (
            replace(APP, dockerfile="../other/Dockerfile"),
            replace(changed("other/Dockerfile"), untracked=("other/Dockerfile.dockerignore",)),
            "other/Dockerfile.dockerignore is not tracked",
        ),
        (APP, changed("app/sub", mode=SUBMODULE), "app/sub is a submodule"),
        (APP, changed("app", mode=LINK), "app is a symbolic link"),
        (APP, changed("app/Dockerfile", mode=LINK), "app/Dockerfile is a symbolic link"),
        (
            replace(APP, context="app/src/x"),
            changed("app/src", mode=LINK),
            "app/src is a symbolic link",
        ),
        (replace(APP, watch=("lib",)), changed("lib", mode=LINK), "lib is a symbolic link"),
        (
            replace(APP, context="lib/../app"),
            changed("lib", mode=LINK),
            "lib is a symbolic link",
        ),
        (APP, changed("app/x", text=""), "app/x cannot be read"),
        (APP, replace(TREE, untracked=("app/\udcff\n",)), "app/?? is not tracked"),
        (replace(APP, contexts=(("x", "https://example.com/x.git"),)), TREE, "is kept elsewhere"),
        (replace(APP, contexts=(("x", "git@example.com:x.git"),)), TREE, "is kept elsewhere"),
        (replace(APP, contexts=(("x", "oci-layout://lib"),)), TREE, "is kept elsewhere"),
    ],
)
def test_what_git_does_not_know_is_never_unchanged(
    service: Service, tree: Tree, doubt: str
) -> None:
    found = of(service, tree)
    assert found.digest == ""
    assert doubt in found.doubt


@pytest.mark.parametrize("name", ["application/x", "README", "lib/x", "ap"])
def test_untracked_files_elsewhere_do_not_matter(name: str) -> None:
    assert digest(tree=replace(TREE, untracked=(name,))) == digest()


def test_a_link_in_the_context_is_where_it_leads() -> None:
    one, other = (changed("app/link", mode=LINK, text=text) for text in ("src", "../lib"))
    assert len({digest(tree=one), digest(tree=other), digest(tree=changed("app/link"))}) == 3
