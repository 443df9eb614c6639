from __future__ import annotations

import pytest
from corpus import DIGEST, FOLDERS, MANIFESTS, OURS, PINS, TAG, load, pinned
from support.failures import fails

from feastflow_registry.kubernetes.image_names import Pin
from feastflow_registry.kubernetes.workloads import Edit, edit, read
from feastflow_registry.model.references import Digest, RegistryHost, Repository, Tag

FRONTEND, BACKEND = OURS
FILES = [
    str(path.relative_to(MANIFESTS))
    for name in FOLDERS
    for path in sorted((MANIFESTS / name).rglob("[kK]ustomization*"))
]


def pin(text: str, name: str = "k8s/kustomization.yaml") -> Edit:
    return edit(read(name, text.encode()), PINS)


def after(text: str) -> str:
    return pin(text).after.decode()


@pytest.mark.parametrize("name", FILES)
def test_the_corpus_means_the_same_but_for_its_entries(name: str) -> None:
    content = (MANIFESTS / name).read_bytes()
    found = pin(content.decode(), name)
    old, new = load(content), load(found.after)
    for entry in (entry for each in old for entry in each.get("images", ())):
        if pinned(entry.get("newName") or entry["name"]):
            entry |= {"newTag": TAG, "digest": DIGEST}
    assert new == old
    again = pin(found.after.decode(), name)
    assert (again.changes, again.after) == ((), found.after)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # What is there is replaced, in its quotes; what is not comes after its neighbour.
        (
            f"- name: {FRONTEND} # a\n  newTag: v1 # b\n# c\n",
            f"- name: {FRONTEND} # a\n  newTag: {TAG} # b\n  digest: {DIGEST}\n# c\n",
        ),
        (
            f"-   name: x\n    newName: docker.io/{FRONTEND}\n\n",
            (
                f"-   name: x\n    newName: docker.io/{FRONTEND}\n    newTag: {TAG}\n"
                f"    digest: {DIGEST}\n\n"
            ),
        ),
        (
            f"- digest: 'sha256:0'\n  name: {FRONTEND}",
            f"- digest: '{DIGEST}'\n  newTag: {TAG}\n  name: {FRONTEND}",
        ),
        (f"- name: {FRONTEND}", f"- name: {FRONTEND}\n  newTag: {TAG}\n  digest: {DIGEST}"),
        (
            f"- name: {FRONTEND}\r\n- x\r\n",
            f"- name: {FRONTEND}\r\n  newTag: {TAG}\r\n  digest: {DIGEST}\r\n- x\r\n",
        ),
        (f"- name: {FRONTEND}\r", f"- name: {FRONTEND}\r  newTag: {TAG}\r  digest: {DIGEST}\r"),
        (
            f"- newTag:\n  digest: ~\n  name: {FRONTEND}\n",
            f"- newTag: {TAG}\n  digest: {DIGEST}\n  name: {FRONTEND}\n",
        ),
        (
            f'- name: |-\n    {FRONTEND}\n\n  newTag: !!str "v1"\n',
            f'- name: |-\n    {FRONTEND}\n\n  newTag: !!str "{TAG}"\n  digest: {DIGEST}\n',
        ),
        (
            f"- name: |-\n    {FRONTEND}\n\n- x\n",
            f"- name: |-\n    {FRONTEND}\n  newTag: {TAG}\n  digest: {DIGEST}\n\n- x\n",
        ),
        # In braces.
        (
            f"- {{name: {FRONTEND}, newTag: v1}} # a\n",
            f"- {{name: {FRONTEND}, newTag: {TAG}, digest: {DIGEST}}} # a\n",
        ),
        (
            f'[{{"name":"{FRONTEND}"}}]\n',
            f'[{{"name":"{FRONTEND}", "newTag": "{TAG}", "digest": "{DIGEST}"}}]\n',
        ),
        (
            f"[{{'name':'{FRONTEND}','newTag':null}}]",
            f"[{{'name':'{FRONTEND}','newTag':'{TAG}', 'digest': '{DIGEST}'}}]",
        ),
        (
            f'[\n\t{{\r\n\t  "name": "{FRONTEND}" # a\r\n\t}}]',
            (
                f'[\n\t{{\r\n\t  "name": "{FRONTEND}",\r\n\t  "newTag": "{TAG}",\r\n'
                f'\t  "digest": "{DIGEST}" # a\r\n\t}}]'
            ),
        ),
        (
            f"[{{newTag: , name: {FRONTEND}, digest: }}]",
            f"[{{newTag: {TAG}, name: {FRONTEND}, digest: {DIGEST}}}]",
        ),
    ],
)
def test_entries_are_written_in_their_own_manner(old: str, new: str) -> None:
    top = "resources: []\nimages:"
    top += " " if old.startswith("[") else "\n"
    if "\n" not in old and "\r" in old:
        top = top.replace("\n", "\r")
    assert after(top + old) == top + new


def test_a_tag_that_yaml_would_take_for_something_else_is_quoted() -> None:
    for tag, written in {
        "1.10": '"1.10"',
        "123": '"123"',
        "true": '"true"',
        "null": '"null"',
        "1e5": '"1e5"',
        "2024-01-01": '"2024-01-01"',
        "v1": '"v1"',
        "commit-0000000": "commit-0000000",
    }.items():
        pins = {Repository(RegistryHost("docker.io"), FRONTEND): Pin(Tag(tag), Digest(DIGEST))}
        text = f"images:\n- name: {FRONTEND}\n  newTag: x\n"
        found = edit(read("kustomization.yaml", text.encode()), pins)
        assert f"  newTag: {written}\n" in found.after.decode()
        assert load(found.after)[0]["images"][0]["newTag"] == tag


@pytest.mark.parametrize(
    ("name", "head", "is_one"),
    [
        ("kustomization.yaml", "", True),
        ("a/b/kustomization.yml", "", True),
        ("Kustomization", "", True),
        ("a/Kustomization", "apiVersion: kustomize.config.k8s.io/v1beta1\n", True),
        ("other.yaml", "", False),
        ("other.yaml", "kind: Kustomization\n", True),
        ("other.yaml", "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\n", True),
        ("kustomization.yaml", "kind: Service\napiVersion: v1\n", False),
        ("flux.yaml", "kind: Kustomization\napiVersion: kustomize.toolkit.fluxcd.io/v1\n", False),
    ],
)
def test_what_is_a_kustomization(name: str, head: str, is_one: bool) -> None:
    found = pin(f"{head}images:\n- name: {FRONTEND}\n", name)
    assert bool(found.changes) == is_one


def test_the_change_says_what_the_image_was() -> None:
    text = f"images:\n- name: x\n  newName: {FRONTEND}\n  newTag: v1\n  digest: sha256:0\n"
    (change,) = pin(text).changes
    assert (change.line, change.resource, change.container) == (2, "Kustomization", "x")
    assert (change.old, change.new) == (
        f"{FRONTEND}:v1@sha256:0",
        f"{FRONTEND}:{TAG}@{DIGEST}",
    )


@pytest.mark.parametrize(
    "entry",
    [
        f"{{name: {FRONTEND}, newName: nginx, newTag: v1}}",
        f"{{name: {FRONTEND}, newName: localhost:5000/{FRONTEND}}}",
        f"{{name: {FRONTEND}, newTag: {TAG}, digest: '{DIGEST}', tagSuffix: -a}}",
        f"{{name: '*', newTag: {FRONTEND}}}",
        "{newTag: v1}",
        f"{FRONTEND}",
        "{name: [x]}",
    ],
)
def test_other_entries_are_left_alone(entry: str) -> None:
    text = f"images: [{entry}]\n"
    assert after(text) == text


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (f"{{name: nginx, name: {FRONTEND}, newTag: v1}}", "reached by a key that is there twice"),
        (f"{{name: {FRONTEND}, newTag: v1, newTag: v2}}", "reached by a key that is there twice"),
        (
            f"{{name: {FRONTEND}, digest: a, <<: {{digest: b}}}}",
            "reached by <<",
        ),
        (f"{{name: '{FRONTEND}:v1'}}", "is no image"),
        (f"{{name: x, newName: '{FRONTEND}:v1'}}", "is no image"),
        (f"{{name: {FRONTEND}, newTag: &t v1, tagSuffix: *t}}", "repeated by an alias"),
        (f"{{name: {FRONTEND}, newTag: &t v1, digest: *t}}", "repeated by an alias"),
        (f"{{name: {FRONTEND}, newTag: &t v1}}, {{name: x, newTag: *t}}", "repeated by an alias"),
        (f"&e {{name: {FRONTEND}}}, {{<<: *e, newName: x}}, [*e]", "repeated by an alias"),
        (f"name: {FRONTEND}", "cannot be edited in place"),
        (f"{{name: {FRONTEND}, newTag: [v1]}}", "cannot be edited in place"),
        (f"{{name: {FRONTEND}, newTag: {{a: b}}}}", "cannot be edited in place"),
        (f"{{? name : {FRONTEND}, newTag}}", "cannot be edited in place"),
        (f"{{<<: {{name: {FRONTEND}}}}}", "reached by <<"),
        (f"{{name: &t v1}}, {{name: {FRONTEND}, newTag: *t}}", "reached by an alias"),
        (f"{{name: {FRONTEND}, newTag: 'it''s', digest: a}}", "cannot be edited in place"),
    ],
)
def test_what_cannot_be_written_for_certain_is_refused(entry: str, words: str) -> None:
    with fails("k8s/kustomization.yaml, line 2: ", words):
        pin(f"images:\n  [{entry}]\n")


def test_a_text_over_several_lines_is_refused() -> None:
    for tag in ("|-\n    a\n    b", "a\n    b"):
        with fails("kustomization.yaml, line 3: ", "cannot be edited in place", "key: value lines"):
            pin(f"images:\n- name: {FRONTEND}\n  newTag: {tag}\n  digest: a\n")
    with fails("kustomization.yaml, line 3: ", "cannot be edited in place"):
        pin(f"images:\n- ? name\n  : {FRONTEND}\n")
