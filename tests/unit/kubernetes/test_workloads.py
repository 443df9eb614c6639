from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from corpus import DIGEST, FILES, MANIFESTS, OURS, PINS, REFUSED, TAG, load, pin_all, pinned
from hypothesis import given
from hypothesis import strategies as st
from support.failures import fails

from feastflow_registry.kubernetes.image_names import Pin, parse_image
from feastflow_registry.kubernetes.workloads import (
    LARGEST,
    Change,
    Edit,
    KubernetesManifest,
    check,
    edit,
    read,
    unmatched,
)
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.references import Digest, RegistryHost, Repository, Tag

HUB = RegistryHost("docker.io")
NEW = f":{TAG}@{DIGEST}"
FRONTEND, BACKEND = OURS


def pod(*containers: str, kind: str = "Pod", version: str = "v1") -> str:
    """A pod with one container a line, each in braces."""
    lines = "".join(f"  - {{{each}}}\n" for each in containers)
    return (
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: p}}\nspec:\n  containers:\n{lines}"
    )


def pin(text: str, name: str = "f.yaml") -> Edit:
    return edit(read(name, text.encode()), PINS)


def after(text: str) -> str:
    return pin(text).after.decode()


def test_an_image_is_pinned_and_the_change_is_told() -> None:
    text = pod("name: a, image: nginx:1", f"name: b, image: '{FRONTEND}:v1' # c")
    found = pin(text.replace("# c}", "} # c"))
    assert found.changes == (
        Change(found.changes[0].repository, 7, "Pod/p", "b", f"{FRONTEND}:v1", f"{FRONTEND}{NEW}"),
    )
    assert found.before.decode() == text.replace("# c}", "} # c")
    assert found.after.decode().splitlines()[6] == f"  - {{name: b, image: '{FRONTEND}{NEW}' }} # c"
    assert found.left == ()


@pytest.mark.parametrize("name", FILES)
def test_the_corpus_means_the_same_but_for_its_images(name: str) -> None:
    content = (MANIFESTS / name).read_bytes()
    first = edit(read(name, content), PINS)
    assert first.changes
    assert load(first.after) == pin_all(load(content))
    again = edit(read(name, first.after), PINS)
    assert (again.changes, again.after) == ((), first.after)


@pytest.mark.parametrize(
    ("version", "kind", "way"),
    [
        ("v1", "Pod", "spec"),
        ("v1", "PodTemplate", "template.spec"),
        ("v1", "ReplicationController", "spec.template.spec"),
        ("apps/v1", "Deployment", "spec.template.spec"),
        ("apps/v1beta2", "DaemonSet", "spec.template.spec"),
        ("extensions/v1beta1", "ReplicaSet", "spec.template.spec"),
        ("apps/v1", "StatefulSet", "spec.template.spec"),
        ("batch/v1", "Job", "spec.template.spec"),
        ("batch/v1beta1", "CronJob", "spec.jobTemplate.spec.template.spec"),
    ],
)
@pytest.mark.parametrize("key", ["containers", "initContainers", "ephemeralContainers"])
@pytest.mark.parametrize("form", ["alone", "list", "typed"])
def test_every_kind_that_runs_containers(
    version: str, kind: str, way: str, key: str, form: str
) -> None:
    data: dict[str, Any] = {key: [{"name": "c", "image": BACKEND}]}
    for each in reversed(way.split(".")):
        data = {each: data}
    data = {"apiVersion": version, "kind": kind, "metadata": {"name": "n"}, **data}
    if form == "list":
        data = {"apiVersion": "v1", "kind": "List", "items": [data, {"kind": "Pod"}]}
    if form == "typed":
        del data["kind"]
        data = {"apiVersion": version, "kind": f"{kind}List", "items": [data]}
    found = pin(json.dumps(data))
    assert [(each.resource, each.container, each.old) for each in found.changes] == [
        (f"{kind}/n", "c", BACKEND)
    ]
    assert json.loads(found.after) == json.loads(json.dumps(data).replace(BACKEND, BACKEND + NEW))


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("argoproj.io/v1alpha1", "Rollout"),
        ("apps.kruise.io/v1alpha1", "StatefulSet"),
        ("apps.openshift.io/v1", "DeploymentConfig"),
        ("v1", "Deployment"),
    ],
)
def test_a_custom_resource_is_left_alone_and_told(version: str, kind: str) -> None:
    text = f"""\
apiVersion: {version}
kind: {kind}
metadata: {{name: web}}
spec:
  template:
    spec:
      containers:
      - {{name: one, image: {FRONTEND}}}
      - {{name: two, image: nginx}}
"""
    found = pin(text)
    assert (found.changes, found.after) == ((), text.encode())
    assert found.left == (f"line 8: one in {kind}/web",)


@pytest.mark.parametrize(
    "text",
    [
        f"image: {FRONTEND}\n",
        f"- op: replace\n  path: /spec/containers/0/image\n  value: {FRONTEND}\n",
        f"{FRONTEND}:v1\n",
        pod(f"name: a, image: {FRONTEND}").replace("apiVersion", "version"),
        pod(f"name: a, image: {FRONTEND}").replace("kind: Pod", "kind:"),
    ],
)
def test_what_is_not_kubernetes_is_left_alone_and_reported(text: str) -> None:
    manifest = read("values.yaml", b"# a\n---\n# b\n" + text.encode())
    assert manifest.skipped == (4,)
    assert edit(manifest, PINS).after == edit(manifest, PINS).before


def test_what_is_no_manifest_is_refused() -> None:
    with fails("f.yaml, line 1: this is not YAML", "Helm template", "values.yaml"):
        read("f.yaml", b"image: {{ .Values.image }}\n")
    with fails("f.yaml is larger than 4096 KiB", "Split the file"):
        read("f.yaml", b"#" * (LARGEST + 1))
    with fails("nested more than 100 levels deep"):
        read("f.yaml", b"[" * 101)


def test_an_empty_document_is_not_reported() -> None:
    assert read("f.yaml", b"---\n...\n---\n# a\n---\n{}\n---\n[]\n---\n''\n").skipped == ()


def test_what_has_no_containers_is_neither_reported_nor_changed() -> None:
    text = "apiVersion: v1\nkind: Service\nspec: {containers: []}\n---\n" + pod().replace(
        "  containers:\n", "  containers: nginx\n"
    )
    manifest = read("f.yaml", text.encode())
    assert (manifest.images, manifest.skipped) == ((), ())
    assert pin(pod("image: [nginx]", "image: ", "name: only")).changes == ()
    empty = "apiVersion: v1\nkind: PodList\nitems: []\n"
    assert read("f.yaml", empty.encode()).skipped == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"{FRONTEND}", f"{FRONTEND}{NEW}"),
        (f"docker.io/{FRONTEND}:v1", f"docker.io/{FRONTEND}{NEW}"),
        (f"index.docker.io/{FRONTEND}@{DIGEST}", f"index.docker.io/{FRONTEND}{NEW}"),
        (f"{FRONTEND}:{TAG}", f"{FRONTEND}{NEW}"),
        (f"{FRONTEND}:v1@sha512:{'0' * 128}", f"{FRONTEND}{NEW}"),
        (f"DOCKER.IO/{FRONTEND}", f"DOCKER.IO/{FRONTEND}{NEW}"),
    ],
)
@pytest.mark.parametrize("write", ["image: {}", "image: '{}'", 'image: "{}"', '"image" : {} '])
def test_every_spelling_of_ours_is_pinned_and_kept(old: str, new: str, write: str) -> None:
    assert after(pod(write.format(old))) == pod(write.format(new))


@pytest.mark.parametrize(
    "image",
    [
        f"{FRONTEND}{NEW}",
        f"docker.io/{FRONTEND}{NEW}",
        f"ghcr.io/{FRONTEND}:v1",
        f"localhost/{FRONTEND}:v1",
        f"localhost:5000/{FRONTEND}:v1",
        f"registry:5000/{FRONTEND}",
        f"registry:99999/{FRONTEND}",
        f"[::1]:5000/{FRONTEND}",
        f"{FRONTEND}-canary",
        f"{FRONTEND}/canary:v1",
        f"x/{FRONTEND}",
        f"https://{FRONTEND}",
        "feastflow-frontend:v1",
        "Feastflow/feastflow-frontend:v1",
        "${IMAGE}",
        "{{ .Values.image }}",
        "$(IMAGE):v1",
        "x" * 2000,
        "1",
        "",
    ],
)
def test_every_other_image_is_left_alone(image: str) -> None:
    text = pod(f'name: a, image: "{image}"')
    assert after(text) == text


def test_official_images_are_named_with_and_without_library() -> None:
    pins = {Repository(HUB, "nginx"): Pin(Tag("v2"), Digest(DIGEST))}
    text = pod(
        *(f"image: {each}" for each in ("nginx", "library/nginx:1", "docker.io/nginx", "x/nginx"))
    )
    found = edit(read("f.yaml", text.encode()), pins)
    assert [each.new for each in found.changes] == [
        f"{name}:v2@{DIGEST}" for name in ("nginx", "library/nginx", "docker.io/nginx")
    ]


def test_a_registry_of_ones_own_is_matched_by_host_and_port() -> None:
    host = RegistryHost("registry.example.com:5000")
    pins = {Repository(host, "app"): Pin(Tag("v2"), Digest(DIGEST))}
    text = pod(
        "image: registry.example.com:5000/app:1", "image: registry.example.com/app", "image: app"
    )
    found = edit(read("f.yaml", text.encode()), pins)
    assert [each.old for each in found.changes] == ["registry.example.com:5000/app:1"]


@pytest.mark.parametrize(
    "rest",
    [":${TAG}", ":{{ .Values.tag }}", "@{{ .Digest }}", ":$(TAG)", ":", ":a b", ":v1\\n", ":-x"],
)
def test_a_name_that_waits_for_a_template_is_refused(rest: str) -> None:
    text = pod(f'name: web, image: "{FRONTEND}{rest}"')
    with fails("f.yaml, line 6:", "web in Pod/p is no image", "leave this file out"):
        pin(text)


TWICE, MERGE = "reached by a key that is there twice", "reached by <<"
ALIAS, REPEATED = "reached by an alias", "repeated by an alias"
BASE = f"containers:\n  - &c {{name: a, image: {FRONTEND}}}\n"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (pod(f"image: {FRONTEND}, image: nginx"), 6, TWICE),
        (pod(f"image: nginx, image: {FRONTEND}"), 6, TWICE),
        (pod(f"image: {FRONTEND}, <<: {{image: nginx}}"), 6, TWICE),
        (pod(f"image: nginx, <<: {{image: {FRONTEND}}}"), 6, MERGE),
        (pod(f"image: {FRONTEND}") + "  containers: []\n", 7, TWICE),
        (pod(f"image: {FRONTEND}") + "spec: {}\n", 7, TWICE),
        (pod(f"image: {FRONTEND}") + "kind: Pod\n", 7, TWICE),
        (pod(f"image: {FRONTEND}") + "apiVersion: v1\n", 7, TWICE),
        (pod(f"image: &i {FRONTEND}, env: [*i]"), 6, REPEATED),
        (pod(f"image: &i {FRONTEND}") + "*i : y\n", 7, REPEATED),
        (f"x-i: &i {FRONTEND}\n" + pod("image: *i"), 7, ALIAS),
        (pod().replace("containers:\n", f"{BASE}  - *c\n"), 7, ALIAS),
        (pod().replace("containers:\n", f"{BASE}  - {{<<: *c}}\n"), 7, MERGE),
        (pod(f"image: {FRONTEND}").replace("spec:", "spec: &s") + "x: *s\n", 7, REPEATED),
        (f"x: &s [image: {FRONTEND}]\n" + pod() + "    *s\n", 7, ALIAS),
    ],
)
def test_an_image_that_is_shared_or_ambiguous_is_refused(text: str, line: int, reason: str) -> None:
    with fails(f"f.yaml, line {line}: the image of ", f" in Pod/p is {reason}. Write it out once"):
        pin(text)


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.name)
def test_the_corpus_of_shared_images_is_refused_and_seen(path: Path) -> None:
    manifest = read(path.name, path.read_bytes())
    with fails("is reached by ", "Write it out once"):
        edit(manifest, PINS)
    assert any(manifest.uses(each) for each in PINS)


@pytest.mark.parametrize(
    "text",
    [
        pod("image: nginx, image: redis", f"image: {FRONTEND}"),
        pod(f"image: {FRONTEND}, name: a, name: b"),
        pod(f"image: {FRONTEND}") + "metadata: {}\n",
        pod(f"<<: {{env: [], name: b}}, image: {FRONTEND}, name: a"),
        pod(f"name: a, image: &i {FRONTEND}, env: &e [x]", "name: b, env: *e, command: ['*']"),
    ],
)
def test_what_is_shared_or_there_twice_elsewhere_does_no_harm(text: str) -> None:
    assert after(text) == text.replace(FRONTEND, f"{FRONTEND}{NEW}")


def test_a_kind_that_is_there_twice_is_the_last() -> None:
    text = pod(f"image: {FRONTEND}") + "kind: Service\n"
    assert after(text) == text


def test_all_that_is_unclear_is_told_at_once() -> None:
    text = pod(
        f"name: a, image: '{FRONTEND}:$X'", f"name: b, image: {BACKEND}, image: {BACKEND}"
    ) + pod(f"name: c, image: &i {BACKEND}, env: [*i]").replace("apiV", "---\napiV")
    with fails() as caught:
        pin(text)
    lines = [each.cause.split(":")[0] for each in caught.value.problems]
    assert lines == ["f.yaml, line 6", "f.yaml, line 7", "f.yaml, line 7", "f.yaml, line 14"]


def test_what_would_be_refused_can_be_asked_before_digests_are_known() -> None:
    good = read("f.yaml", pod(f"image: {FRONTEND}").encode())
    check(good, PINS)
    bad = read("f.yaml", pod(f"image: '{FRONTEND}:$X'").encode())
    check(bad, [Repository(HUB, BACKEND)])
    with fails("is no image"):
        check(bad, PINS)


def test_who_uses_a_repository() -> None:
    text = pod(
        "name: a, image: nginx", "name: b, image: docker.io/library/nginx:1", "name: c, image: x"
    )
    manifest = read("f.yaml", text.encode())
    assert [each.container for each in manifest.uses(Repository(HUB, "nginx"))] == ["a", "b"]
    assert manifest.uses(Repository(HUB, FRONTEND)) == ()
    assert manifest.name == "f.yaml"


def test_nothing_that_matches_is_told_with_what_was_seen() -> None:
    wanted = Repository(HUB, FRONTEND)

    def told(*texts: str) -> str:
        manifests = [read(f"{i}.yaml", each.encode()) for i, each in enumerate(texts)]
        return str(unmatched(manifests, wanted))

    assert told() == told("a: b\n")
    assert "no manifest names the image feastflow/feastflow-frontend. Name the files" in told()
    near = told(pod("image: feastflow/frontend:v1"), pod("image: '${X}'", "image: nginx"))
    assert near.endswith("these have feastflow/frontend, nginx, ${X}.")
    many = told(pod(*(f"image: app-{i}" for i in range(9))))
    assert many.endswith(" and 4 more.")
    foreign = f"""\
apiVersion: x.io/v1
kind: App
spec: {{template: {{spec: {{containers: [{{name: a, image: {FRONTEND}}}]}}}}}}
"""
    assert "0.yaml, line 3: a in App is of a kind that is not edited. Set" in told(foreign)
    assert not read("f.yaml", foreign.encode()).holds(wanted)
    assert read("f.yaml", pod(f"image: {FRONTEND}").encode()).holds(wanted)


def test_untrusted_names_stay_on_their_line() -> None:
    text = pod(f'"name": "a\\n::error::\\e[31m{"x" * 200}", image: "{FRONTEND}:$\\n"')
    with fails("'feastflow/feastflow-frontend:$ ' of a ::error:: [31mxxx") as caught:
        pin(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[::1]:5000/a/b:1@sha256:0", "[::1]:5000/a/b"),
        ("localhost/a", "localhost/a"),
        ("LOCALHOST:1/a", "LOCALHOST:1/a"),
        ("a.b/c_d/e__f/g--h:i", "a.b/c_d/e__f/g--h"),
        ("a:1", "a"),
    ],
)
def test_names_are_told_from_tags(text: str, name: str) -> None:
    found = parse_image(text)
    assert found is not None
    assert found.name == name


# Random manifests, each image on a line of its own, written in every way there is.

IMAGES = st.one_of(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "docker.io/", "index.docker.io/"]),
        st.sampled_from(OURS),
        st.sampled_from(["", ":latest", ":commit-1234567", f":{TAG}"]),
        st.sampled_from(["", f"@{DIGEST}", f"@sha256:{'f' * 64}"]),
    ),
    st.sampled_from(["nginx", "redis:7", f"ghcr.io/{FRONTEND}:v1", f"{BACKEND}-canary:v1"]),
)
STYLES: Sequence[Callable[[str, str], str]] = (
    lambda image, _: image,
    lambda image, _: f"'{image}'",
    lambda image, _: f'"{image}"',
    lambda image, _: f"!!str {image}",
    lambda image, indent: f">-\n{indent}    {image}",
    lambda image, indent: f"|-  # block\n{indent}   {image}",
    lambda image, indent: f"# below\n{indent}  # and further\n{indent}   {image}",
    lambda image, indent: f"\n{indent}   '{image}'",
)
COMMENTS = st.sampled_from(["", "", "  # image: " + FRONTEND, "\t# tab", " #é🙂", "   "])
KINDS = {
    "Pod": ("v1", "spec:"),
    "Deployment": ("apps/v1", "spec:\n  template:\n    spec:"),
    "CronJob": ("batch/v1", "spec:\n  jobTemplate:\n    spec:\n      template:\n        spec:"),
    "Rollout": ("argoproj.io/v1alpha1", "spec:\n  template:\n    spec:"),
}


@st.composite
def manifests(draw: st.DrawFn) -> str:
    """A file of some documents."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(sorted(KINDS)))
        version, spec = KINDS[kind]
        comment = draw(COMMENTS)
        lines += [f"---{comment}", f"apiVersion: {version}{comment}", f"kind: {kind}"]
        lines += [
            f"metadata: {{name: x, annotations: {{image: '{FRONTEND}:v1'}}}}",
            *spec.split("\n"),
        ]
        indent = " " * (len(lines[-1]) - len(lines[-1].lstrip()) + 2)
        for key in draw(st.lists(st.sampled_from(["containers", "initContainers"]), unique=True)):
            lines.append(f"{indent}{key}:{draw(COMMENTS)}")
            for number in range(draw(st.integers(1, 3))):
                lines.append(f"{indent}- name: c{number}{draw(COMMENTS)}")
                image = draw(st.sampled_from(STYLES))(draw(IMAGES), indent)
                # A comment may follow neither a block nor what is on a later line.
                image += "" if "\n" in image else draw(COMMENTS)
                if not image.startswith(("#", "\n", "!")) and draw(st.booleans()):
                    image = f"&a{len(lines)} {image}"
                lines += f"{indent}  image: {image}".split("\n")
                lines += draw(
                    st.sampled_from([[], ["", f"{indent}  args: [x]"], [f"# {BACKEND}:v1"]])
                )
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\n", "\r\n"]]))
    text = "".join(line + ends[number % len(ends)] for number, line in enumerate(lines))
    bom = draw(st.sampled_from(["", "\ufeff"]))
    return bom + (text if draw(st.booleans()) else text.rstrip("\r\n"))


@given(manifests())
def test_any_manifest_means_the_same_but_for_its_images(text: str) -> None:
    content = text.encode()
    found = edit(read("f.yaml", content), PINS)
    assert load(found.after) == pin_all(load(content))
    again = edit(read("f.yaml", found.after), PINS)
    assert (again.changes, again.after) == ((), found.after)
    old, new = text.split("\n"), found.after.decode().split("\n")
    assert len(old) == len(new)
    for before, now in zip(old, new, strict=True):
        words = [each.strip("'\"") for each in before.split()]
        image = next(filter(pinned, words), "")
        assert now in (before, before.replace(image, pinned(image) or "", 1))
    assert (found.after == content) == (not found.changes)


@given(
    st.dictionaries(st.text(), st.text() | st.none() | st.integers(), max_size=3),
    st.lists(IMAGES, max_size=3),
    st.sampled_from([None, 2, "\t"]),
    st.booleans(),
)
def test_any_json_stays_json(
    data: dict[str, Any], images: list[str], indent: int | str | None, ascii_only: bool
) -> None:
    spec = {"containers": [{"name": "c", "image": each, "env": []} for each in images]}
    whole = {"kind": "Pod", "metadata": {"annotations": data}, "apiVersion": "v1", "spec": spec}
    text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only)
    try:
        found = pin(text)
    except Failure:
        return  # A key longer than YAML's, or a surrogate pair.
    assert json.loads(found.after) == pin_all([json.loads(text)])[0]


@given(
    st.sampled_from(FILES),
    st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 3),
            st.sampled_from(
                ["", *"\n\t:,[]{}&*!|>'\"#-?% x", "\r\n", "- ", "<<: *a", "---\n", "null"]
            ),
        ),
        min_size=1,
        max_size=2,
    ),
)
def test_no_mistake_in_a_manifest_is_edited_wrongly(
    name: str, mistakes: list[tuple[float, int, str]]
) -> None:
    text = (MANIFESTS / name).read_bytes().decode()
    for place, gone, come in mistakes:
        at = int(place * len(text))
        text = text[:at] + come + text[at + gone :]
    try:
        manifest: KubernetesManifest = read(name, text.encode())
        found = edit(manifest, PINS)
    except Failure:
        return
    assert edit(read(name, found.after), PINS).changes == ()
    try:
        wanted = pin_all(load(text.encode()))
    except (yaml.YAMLError, AttributeError, TypeError, LookupError, ValueError):
        return  # What it would mean is not known.
    assert load(found.after) == wanted
