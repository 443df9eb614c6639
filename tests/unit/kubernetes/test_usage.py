from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from support.failures import fails
from support.memory import digest_of
from support.runs import SHOP

from feastflow_registry.kubernetes import usage
from feastflow_registry.kubernetes.files import every
from feastflow_registry.kubernetes.usage import Places, find, unclear
from feastflow_registry.model.errors import Kind

ONE = digest_of("one")
HEX = ONE.value.partition(":")[2]
SHA = "0b5cafe7a1d5f1d0a7c1e5a1f3b2c4d5e6f70819"
SHORT = SHA[:7]


def look(folder: Path, *wanted: str) -> Places:
    """Look through all that is in a folder."""
    return find(every(folder, ["."]), wanted or (SHORT, HEX))


def known(folder: Path, content: str | bytes, *wanted: str) -> dict[str, str]:
    """What a file of this content names, and where."""
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "f").write_bytes(data)
    return look(folder, *wanted).known


@pytest.mark.parametrize(
    "text",
    [
        f"tag: commit-{SHORT}",
        f"tag: commit-{SHA}",
        f"tag: commit-{SHA[:12]}",
        f"tag: {SHORT}",
        f"commit-{SHORT}",
        f"{SHORT.upper()}\n",
        f"TAG={SHA}\r\n",
        f'image = "ada/shop:commit-{SHORT}"',
        f"ada/shop@sha256:{HEX}",
        f"shop_{SHORT}_eu",
        f'{{{{ .Values.tag | default "commit-{SHORT}" }}}}',
        # Longer tags: https://github.com/hmcts/cnp-flux-config/pull/11553
        f'image: x.azurecr.io/app:prod-{SHORT}-20210915082635   #{{"$imagepolicy": "a:b"}}',
        # What `git describe` says, as in https://github.com/carbynestack/carbynestack/pull/31
        f"v0.1-7-g{SHORT}",
    ],
)
def test_wherever_a_text_names_it(tmp_path: Path, text: str) -> None:
    wanted = HEX if HEX in text else SHORT
    assert known(tmp_path, f"# a\n\n{text}") == {wanted: "f:3"}


@pytest.mark.parametrize(
    "text",
    [
        # A package URL: https://github.com/package-url/purl-spec/blob/main/types-doc/oci-definition.md
        f"pkg:oci/shop@sha256%3A{HEX}?repository_url=ghcr.io",
        f"https://ci.example/?tag%3D{SHORT}",
        # JSON in which a language's library escapes more than it must.
        rf'{{"args": "TAG\u003d{SHORT}\u0026x"}}',
        rf'{{"released": "0000000\n{SHORT}\n"}}',
        rf'"\t{SHORT}"',
        rf'"\x2d{SHORT}"',
        f"100%{SHORT}",
        f"SHA256:{HEX.upper()}",
    ],
)
def test_behind_what_stands_for_another_character(tmp_path: Path, text: str) -> None:
    found = known(tmp_path, f"\n{text}")
    assert found == {HEX if HEX in text.lower() else SHORT: "f:2"}


@pytest.mark.parametrize("text", [f"x@sha256%3a{HEX}", f"SHA256:{HEX.upper()}", f"\\nsha256:{HEX}"])
def test_a_digest_behind_it_is_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "f").write_text(text)
    assert look(tmp_path, SHORT).digests == {ONE: "f:1"}


@pytest.mark.parametrize(
    "data",
    [
        f"commit-0000000\0commit-{SHORT}\0commit-1111111\0".encode(),
        f"0000000\0{SHORT}\0abc".encode(),
        f"\0\0a{SHA}"[3:].encode() + b"\0" * 300 + b"a",
    ],
)
def test_between_nul_bytes(tmp_path: Path, data: bytes) -> None:
    assert known(tmp_path, data) == {SHORT: "f:1"}


@pytest.mark.parametrize(
    "text",
    [
        SHORT[:6],
        f"x{SHORT}",
        f"{SHORT}x",
        f"0{SHORT}",
        "sha256:" + "0" * 64,
        HEX[:-1] + "g",
        "",
    ],
)
def test_what_only_looks_like_it(tmp_path: Path, text: str) -> None:
    assert known(tmp_path, text) == {}


def test_a_commit_by_more_of_its_digits_than_the_registry_has_and_by_less(tmp_path: Path) -> None:
    text = f"{SHA}\n{SHA[:7]}\n{SHA[:9]}"
    assert known(tmp_path, text, SHA[:8], SHA[:10]) == {SHA[:8]: "f:1", SHA[:10]: "f:1"}
    assert known(tmp_path, SHA[:7], SHA[:8], SHA[:10]).keys() == {SHA[:8], SHA[:10]}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    assert known(tmp_path, f"ü\ntag: {SHORT}\n".encode(encoding)) == {SHORT: "f:2"}


@pytest.mark.parametrize("noise", [b"\xff\xfe\xfd", b"\0" * 99, b"\xc3", bytes(range(128, 256))])
def test_in_what_is_no_text(tmp_path: Path, noise: bytes) -> None:
    assert known(tmp_path, noise + f"\n{SHORT}".encode() + noise) == {SHORT: "f:2"}


@pytest.mark.parametrize("size", [1, 2, 7, 200, 255, 256, 257, 300])
def test_however_it_is_cut_into_pieces(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feastflow_registry.kubernetes.files._PIECE", size)
    text = f"{'x' * 300}\n{'a' * 299}\n commit-{SHA} \n\nsha256:{HEX}\n{'0' * 700}{SHORT}\n"
    (tmp_path / "f").write_text(text)
    found = look(tmp_path)
    assert found.known == {SHORT: "f:3", HEX: "f:5"}
    assert found.digests == {ONE: "f:5"}


@pytest.mark.no_cover
@pytest.mark.parametrize("size", [1, 7, 256])
def test_a_longer_word_is_none_wherever_it_is_cut(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feastflow_registry.kubernetes.files._PIECE", size)
    words = [f"{'x' * number}{SHORT}" for number in range(1, 257)]
    assert known(tmp_path, "\n".join([*words, "-" * 600])) == {}


@pytest.mark.no_cover
@pytest.mark.parametrize("size", [1, 2, 7, 256, 257])
@pytest.mark.parametrize("before", ["%3D", r"\n", r"\u003d", r"\x3d", "%3Dsha256%3A", "x" * 251])
def test_what_stands_before_it_may_be_in_another_piece(
    tmp_path: Path, size: int, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feastflow_registry.kubernetes.files._PIECE", size)
    for space in range(6):
        text = f"{' ' * space}{before}{'' if before[0] != 'x' else ' '}{SHORT} {'x' * 300}"
        assert known(tmp_path, text) == {SHORT: "f:1"}
        assert known(tmp_path, text.encode("utf-16-le")) == {SHORT: "f:1"}


def test_the_first_place_counts(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"\n{SHORT} {SHORT}\n{SHORT}")
    (tmp_path / "b").write_text(SHORT)
    assert look(tmp_path).known == {SHORT: "a:2"}


def test_a_name_that_is_no_line(tmp_path: Path) -> None:
    (tmp_path / "a\n::error::b").write_text(SHORT)
    (place,) = look(tmp_path).known.values()
    assert "\n" not in place


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"x@{ONE}", 1),
        (f"digest: '{ONE}'", 1),
        (f"digest: {HEX}", 0),
        ("sha256:abcdef0123", 0),
        ("sha512:" + "a" * 128, 1),
        (f"sha512:{HEX}", 0),
    ],
)
def test_digests_that_no_tag_has(tmp_path: Path, text: str, found: int) -> None:
    (tmp_path / "f").write_text(text)
    assert len(look(tmp_path, SHORT).digests) == found


def test_more_digests_than_anybody_can_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "_MOST_DIGESTS", 5)
    (tmp_path / "requirements.txt").write_text(
        "".join(f"--hash={digest_of(str(number))}\n" for number in range(5))
    )
    assert len(look(tmp_path).digests) == 5
    (tmp_path / "other").write_text(str(ONE))
    with fails("name more than 5 digests", "no lock files"):
        look(tmp_path)


@pytest.mark.no_cover
def test_a_hundred_thousand_words(tmp_path: Path) -> None:
    source = random.Random(7)
    words = [f"{source.getrandbits(160):040x}" for _ in range(100_000)]
    last = words[-1][:7]
    assert known(tmp_path, "\n".join(words), SHORT, last) == {last: "f:100000"}


@pytest.mark.no_cover
def test_what_is_read_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feastflow_registry.kubernetes.files._PIECE", 4096)
    (tmp_path / "values.yaml").write_text(f"key: {HEX}\n" * 20_000 + f"tag: commit-{SHORT}\n")
    files = every(tmp_path, ["."])
    tracemalloc.start()
    found = find(files, [SHORT])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.known == {SHORT: "values.yaml:20001"}
    assert peak < 100_000


def test_a_file_that_vanishes_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "f").write_text(SHORT)
    files = every(tmp_path, ["."])
    (tmp_path / "f").unlink()
    with fails("f was removed by someone else while this ran", kind=Kind.CONFLICT):
        find(files, [SHORT])


def told(folder: Path, name: str, text: str) -> list[str]:
    """What a manifest leaves open."""
    (folder / name).write_text(text)
    found = unclear(every(folder, ["."]), [SHOP.repository])
    return [each.cause for each in found[SHOP.repository]]


POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: %s}]}\n"
)


@pytest.mark.parametrize("image", ["'ada/shop:{{ .tag }}'", "ada/shop:$TAG"])
def test_a_manifest_that_does_not_tell(tmp_path: Path, image: str) -> None:
    (cause,) = told(tmp_path, "web.yaml", POD % image)
    assert cause.startswith("web.yaml, line 4: 'ada")


@pytest.mark.parametrize("image", ["ada/shop:v1", f"ada/shop@{ONE}", "ada/shop", "nginx:$TAG"])
def test_a_manifest_that_tells(tmp_path: Path, image: str) -> None:
    assert told(tmp_path, "web.yaml", POD % image) == []


@pytest.mark.parametrize(
    ("entry", "clear"),
    [
        ("{name: ada/shop, newTag: v1}", True),
        (f"{{name: shop, newName: ada/shop, digest: '{ONE}'}}", True),
        ("{name: ada/shop}", True),
        ("{name: shop, newName: ada/shop}", False),
        ("{name: nginx, newName: ada/pricing}", True),
    ],
)
def test_a_kustomization(tmp_path: Path, entry: str, clear: bool) -> None:
    assert (told(tmp_path, "kustomization.yaml", f"images: [{entry}]\n") == []) is clear


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("template.yaml", f"{{{{- if .x }}}}\n{POD % 'ada/shop:$TAG'}"),
        ("web.txt", POD % "ada/shop:$TAG"),
        ("empty.yaml", ""),
    ],
)
def test_what_is_no_manifest_tells_nothing(tmp_path: Path, name: str, text: str) -> None:
    assert told(tmp_path, name, text) == []


def test_each_repository_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(POD % "ada/shop:$TAG")
    other = type(SHOP.repository).parse(SHOP.repository.host, "ada/pricing")
    found = unclear(every(tmp_path, ["."]), [SHOP.repository, other])
    assert [len(each) for each in found.values()] == [1, 0]
