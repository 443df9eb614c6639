from __future__ import annotations

import hashlib
import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.failures import fails
from support.runs import SOURCE, A

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import (
    IMAGES,
    INDEXES,
    Child,
    ImmutableTags,
    Manifest,
    Verdict,
    hashes_to,
    json_object,
    read_created,
    read_origin,
)
from feastflow_registry.model.references import Digest
from feastflow_registry.model.tag_names import INPUTS_LABEL

D1, D2 = (Digest(f"sha256:{each * 64}") for each in "12")
REVISION, SOURCE_LABEL = (f"org.opencontainers.image.{each}" for each in ("revision", "source"))


def manifest(media_type: str = IMAGES[0], **content: object) -> Manifest:
    return Manifest.parse(json.dumps({"mediaType": media_type, **content}).encode(), "")


def entry(digest: object, **more: object) -> dict[str, object]:
    return {"digest": str(digest), **more}


@pytest.mark.parametrize(
    ("media_type", "is_index"), [*((x, True) for x in INDEXES), *((x, False) for x in IMAGES)]
)
def test_four_types_are_known_by_their_own_word_or_the_header(
    media_type: str, is_index: bool
) -> None:
    data = json.dumps({"mediaType": media_type}).encode()
    found = Manifest.parse(data, "text/plain")
    assert (found.media_type, found.is_index, found.data) == (media_type, is_index, data)
    for header in (media_type, f"{media_type}; charset=utf-8", f" {media_type} ;x"):
        found = Manifest.parse(b"{}", header)
        assert (found.media_type, found.is_index) == (media_type, is_index)


@pytest.mark.parametrize(
    ("data", "content_type", "words"),
    [
        (b"", IMAGES[0], "is no JSON object"),
        (b"[]", IMAGES[0], "is no JSON object"),
        (b"\xff", IMAGES[0], "is no JSON object"),
        (b"[" * 100_000, IMAGES[0], "is no JSON object"),
        (b"{}", "application/json", "has the type 'application/json'"),
        (b"{}", "", "has the type ''"),
        (b"{}", f"text/plain; {IMAGES[0]}", "has the type 'text/plain'"),
        (b'{"mediaType": {"a": 1}}', IMAGES[0], "has the type"),
        (json.dumps({"mediaType": "x" * 9999}).encode(), IMAGES[0], "has the type 'xxx"),
    ],
)
def test_refuses_what_is_no_manifest(data: bytes, content_type: str, words: str) -> None:
    with fails(words, "not a container image", kind=Kind.UNVERIFIED) as caught:
        Manifest.parse(data, content_type)
    assert len(str(caught.value)) < 300


def test_the_children_of_an_index_are_all_that_it_lists() -> None:
    note = {"vnd.docker.reference.type": "attestation-manifest"}
    listed = [
        entry(D1, annotations={"a": "b"}, mediaType=IMAGES[0]),
        entry(D2, annotations=note),
        entry(D2, mediaType=INDEXES[1]),
    ]
    found = manifest(INDEXES[0], manifests=listed, config=1)
    assert found.children == (
        Child(D1),
        Child(D2, is_attestation=True),
        Child(D2, is_index=True),
    )
    assert found.blobs == ()


@pytest.mark.parametrize("listed", [None, {}, "x", 7, []])
def test_an_index_without_a_list_has_no_children(listed: object) -> None:
    assert manifest(INDEXES[0], manifests=listed).children == ()


@pytest.mark.parametrize("listed", ["sha256:" + "0" * 64, {}, {"digest": "latest"}])
def test_an_index_of_nonsense_is_refused(listed: object) -> None:
    with fails("names no digest where one is due", kind=Kind.UNVERIFIED):
        _ = manifest(INDEXES[0], manifests=[entry(D1), listed]).children


def test_config() -> None:
    assert manifest(config=entry(D1)).config == D1
    for wrong in (None, "x", {}, {"digest": None}, {"digest": "sha256:1"}):
        with fails("names no digest where one is due", kind=Kind.UNVERIFIED):
            _ = manifest(config=wrong).config


@pytest.mark.parametrize(
    ("config", "layers", "size"),
    [
        (entry(D1, size=5), [entry(D2, size=7), entry(D2, size=9)], 21),
        (None, None, 0),
        ({"size": "5"}, [{"size": -7}, {"size": 2.5}, "x", {}], 0),
        ([], {"size": 3}, 0),
        (entry(D1, size=5), [entry(D2, size=10**400)], 5),
    ],
)
def test_size(config: object, layers: object, size: int) -> None:
    assert manifest(config=config, layers=layers).size == size


class TestOrigin:
    @staticmethod
    def read(labels: object) -> object:
        return read_origin(json.dumps({"config": {"Labels": labels}}).encode())

    def test_labels(self) -> None:
        assert self.read({REVISION: A.sha, SOURCE_LABEL: SOURCE}) == (A, SOURCE, "")
        assert self.read({REVISION: A.sha, INPUTS_LABEL: "sha256:1"}) == (A, "", "sha256:1")
        assert self.read({REVISION: "abc1234"}) == (None, "", "")
        assert self.read({REVISION: [A.sha], SOURCE_LABEL: None}) == (None, "", "")

    @pytest.mark.parametrize("labels", [None, [], "x", {}])
    def test_no_labels(self, labels: object) -> None:
        assert self.read(labels) == (None, "", "")

    @pytest.mark.parametrize("data", [b"{}", b'{"config": null}', b'{"config": []}'])
    def test_no_configuration(self, data: bytes) -> None:
        assert read_origin(data) == (None, "", "")

    def test_no_json(self) -> None:
        with fails("is no JSON object", kind=Kind.UNVERIFIED):
            read_origin(b"x")


@given(st.binary())
def test_a_digest_is_that_of_the_very_bytes(data: bytes) -> None:
    for algorithm in ("sha256", "sha512"):
        digest = Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")
        assert hashes_to(data, digest)
        assert not hashes_to(data + b"x", digest)


JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda some: (
        st.lists(some)
        | st.dictionaries(
            st.sampled_from(["config", "layers", "manifests", "size", "digest"]), some
        )
    ),
)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["config", "layers", "manifests", "mediaType"]), JSON))
def test_any_json_is_read_or_unverified(content: dict[str, object]) -> None:
    data = json.dumps(content).encode()
    assert json_object(data) == content
    for ask in (
        lambda: Manifest.parse(data, IMAGES[0]).size,
        lambda: Manifest.parse(data, IMAGES[0]).config,
        lambda: Manifest.parse(data, INDEXES[0]).children,
        lambda: read_origin(data),
    ):
        with suppress(Failure):
            ask()


def test_the_parts_of_an_image_are_its_configuration_and_its_layers() -> None:
    found = manifest(config=entry(D1, size=7), layers=[entry(D2, size=0, mediaType="x/strange")])
    assert found.blobs == ((D1, 7), (D2, 0))
    assert found.children == ()


@pytest.mark.parametrize(
    ("media_type", "urls", "carried"),
    [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", ["https://x"], False),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", ["https://x"], False),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", [], True),
        ("application/vnd.oci.image.layer.v1.tar+zstd", ["https://x"], True),
    ],
)
def test_a_layer_that_may_not_be_distributed_is_no_part(
    media_type: str, urls: list[str], carried: bool
) -> None:
    layer = entry(D2, size=2, mediaType=media_type, urls=urls)
    found = manifest(config=entry(D1, size=1), layers=[layer])
    assert [each.digest for each in found.blobs] == [D1, D2][: 1 + carried]


@pytest.mark.parametrize("size", [-1, "1", None, True, 1.5, 10**400])
def test_a_part_without_a_size_is_refused(size: object) -> None:
    with fails("does not say how large", kind=Kind.UNVERIFIED):
        _ = manifest(config=entry(D1, size=size)).blobs


def test_an_image_without_configuration_is_refused() -> None:
    with fails("names no digest", kind=Kind.UNVERIFIED):
        _ = manifest(layers=[entry(D1, size=1)]).blobs


NO, MAYBE, YES = Verdict.NO, Verdict.MAYBE, Verdict.YES
COMMIT = "commit-0123abc"


class TestImmutableTags:
    @pytest.mark.parametrize(
        ("rule", "tag", "verdict"),
        [
            (".*", "latest", YES),
            ("v.*", "v1.2.3", YES),
            ("v.*", "latest", NO),
            ("v.*", "dev", MAYBE),
            ("latest", "latest2", MAYBE),
            ("^latest$", "latest2", NO),
            (r"^[0-9]+\.[0-9]+\.[0-9]+$", "1.2.3", YES),
            (r"^v?\d+\.\d+$", "1.2", YES),
            (r"^v?\d+\.\d+$", COMMIT, NO),
            (r"^\w$", "é", NO),
            ("^commit-[0-9a-f]{7}$", COMMIT, YES),
            ("commit-[0-9a-f]{7}", COMMIT + "0", MAYBE),
        ],
    )
    def test_a_simple_rule(self, rule: str, tag: str, verdict: Verdict) -> None:
        assert ImmutableTags(True, (rule,)).judge(tag) == (verdict, "" if verdict is NO else rule)

    @pytest.mark.parametrize(
        "rule",
        [
            *("(?i)LATEST", "z|y", "(z+)+", "z**", "z*+", "z*?", r"\bz", r"\z", "z\\", "[^z]"),
            *("[[:digit:]]", "[y--z]", "[z-y]", "z{,3}", "z{3,2}", "é", "z^y"),
            *("yz*" * 4, "yz?" * 4),
        ],
    )
    def test_any_other_is_left_open(self, rule: str) -> None:
        assert ImmutableTags(True, (rule,)).judge("latest") == (MAYBE, rule)

    def test_the_strongest_of_several_rules(self) -> None:
        rules = ("v.*", "(?i)x", "at", "^latest$", ".*")
        assert ImmutableTags(True, rules).judge("latest") == (YES, "^latest$")
        assert ImmutableTags(True, rules[:3]).judge("latest") == (MAYBE, "(?i)x")
        assert ImmutableTags(True, rules[:1]).judge("latest") == (NO, "")

    def test_a_setting_without_rules(self) -> None:
        assert ImmutableTags(True).judge("latest") == (MAYBE, "")
        assert ImmutableTags(False, (".*",)).judge("latest") == (NO, "")


@pytest.mark.parametrize(
    ("created", "year"),
    [
        ("2026-01-01T00:00:00Z", 2026),
        ("2026-01-01", 2026),
        *(
            ("1970-01-01T00:00:00Z", None),
            ("0001-01-01T00:00:00Z", None),
            ("soon", None),
            (7, None),
        ),
    ],
)
def test_when_an_image_was_made(created: object, year: int | None) -> None:
    found = read_created(json.dumps({"created": created}).encode())
    assert (found.year if found else None) == year


@pytest.mark.parametrize("text", ["\\ud800", "a\\uDFFF", "\\ud800x\\udc00"])
def test_half_a_character_is_no_text(text: str) -> None:
    """It could not be written into an index that is made of it."""
    with fails("is no JSON object", kind=Kind.UNVERIFIED):
        json_object(f'{{"annotations": {{"x": "{text}"}}}}'.encode())
    assert json_object(b'{"x": "\\ud83d\\ude00"}') == {"x": "\U0001f600"}
