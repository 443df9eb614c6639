"""Where files name an image that a registry holds: what must not be deleted.

A commit, by its tag or its digits alone, and a digest are believed wherever they stand, in a file
of any kind: people keep the tag in a chart's values, an overlay, an Argo CD application, an
``.env``. So nothing is parsed, and a file of any size is read a piece at a time. Without its NUL
bytes UTF-16 is read like any other text; elsewhere NUL bytes stand between words.

A manifest of Kubernetes that has an image of ours without telling which one counts only where
nothing else tells.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from feastflow_registry.kubernetes import workloads
from feastflow_registry.kubernetes.files import ShownFile
from feastflow_registry.kubernetes.image_names import (
    LONGEST_SHOWN,
    FoundImage,
    parse_image,
    targets,
)
from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.references import Digest, Repository
from feastflow_registry.model.wording import printable

_FEWEST = 7
"""The digits of a commit that git shows; fewer are any number's."""
_BEHIND = 6
_ESCAPED = (r"%[0-9A-Fa-f]{2}", r"\\[nrt]", r"\\x[0-9A-Fa-f]{2}", r"\\u[0-9A-Fa-f]{4}")
"""What stands for another character, in an address, in JSON and YAML; ``_BEHIND``: the longest."""
_WORD = re.compile(
    (
        rf"(?=[0-9A-FSa-fgs])(?:(?<![0-9A-Za-z])|{'|'.join(f'(?<={each})' for each in _ESCAPED)})"
        r"(?=(?:(sha256|sha512|SHA256|SHA512)(?::|%3[Aa])|g)?([0-9A-Fa-f]{7,128})(?![0-9A-Za-z]))"
    ).encode()
)
"""Digits, alone or within a longer tag. ``g`` is what ``git describe`` puts before them."""
_OVERLAP = 256
"""More bytes than a word has: one that begins in the last of a piece is left to the next."""
_MOST_DIGESTS = 10_000


@dataclass(frozen=True, slots=True)
class Places:
    """Where files name something, as ``path:line``, the first place of each.

    ``known``: by the digits that were looked for; ``digests``: every digest.
    """

    known: dict[str, str] = field(default_factory=dict)
    digests: dict[Digest, str] = field(default_factory=dict)


def find(files: Iterable[ShownFile], wanted: Collection[str]) -> Places:
    """Look for the digits of commits and digests, however many of a commit's a file has.

    Raises an input failure if files name more digests than a registry can be asked for, and a
    conflict if a file is gone by now.
    """
    beginnings: dict[str, list[str]] = {}
    for digits in wanted:
        beginnings.setdefault(digits[:_FEWEST], []).append(digits)
    places = Places()
    for file in files:
        for line, algorithm, word in chain.from_iterable(map(_words, _readings(file))):
            same = [
                each
                for each in beginnings.get(word[:_FEWEST], ())
                if each.startswith(word) or word.startswith(each)
            ]
            if not (same or algorithm):
                continue
            place = f"{printable(file.name, LONGEST_SHOWN)}:{line}"
            for each in same:
                places.known.setdefault(each, place)
            if algorithm:
                _note(places, f"{algorithm}:{word}", place)
    return places


def _note(places: Places, text: str, place: str) -> None:
    try:
        places.digests.setdefault(Digest.parse(text), place)
    except Failure:  # Cut off, or too long: it names nothing.
        return
    if len(places.digests) > _MOST_DIGESTS:
        raise Failure(
            Kind.INPUT,
            f'input "manifests": the files name more than {_MOST_DIGESTS} digests.',
            "Name the files and folders that say what runs, and no lock files.",
        )


def _readings(file: ShownFile) -> Iterator[Iterable[bytes]]:
    """A file as it is, in which NUL bytes end words; and without them, if there are any."""
    yield file.pieces()
    if any(b"\0" in piece for piece in file.pieces()):
        yield (piece.replace(b"\0", b"") for piece in file.pieces())


def _words(pieces: Iterable[bytes]) -> Iterator[tuple[int, str, str]]:
    """Yield each word of hexadecimal digits: its line, the algorithm before it, and itself."""
    line, text, start = 1, b"", 0
    for piece in chain(pieces, (None,)):
        text += piece or b""
        counted, end = start, len(text) - (0 if piece is None else _OVERLAP)
        for match in _WORD.finditer(text, start):
            if match.start() >= end:
                break
            line += text.count(b"\n", counted, match.start())
            counted = match.start()
            yield line, (match[1] or b"").decode().lower(), match[2].decode().lower()
        if end > start:
            line += text.count(b"\n", counted, end)
            # What stands before tells whether a word begins there.
            start = min(end, _BEHIND)
            text = text[end - start :]


def unclear(
    files: Iterable[ShownFile], repositories: Sequence[Repository]
) -> Mapping[Repository, Sequence[Problem]]:
    """Images in manifests of Kubernetes of which nothing there tells which one is used.

    What is no manifest, as a template is none, tells nothing here.
    """
    found: dict[Repository, list[Problem]] = {each: [] for each in repositories}
    for file in files:
        content = file.beginning(workloads.LARGEST + 1) if file.is_manifest else b""
        try:
            manifest = workloads.read(printable(file.name, LONGEST_SHOWN), content)
        except Failure:
            continue
        for repository, problems in found.items():
            for image in manifest.uses(repository):
                if not image.can_pin or _is_renamed(image):
                    problems.append(_unclear(manifest.name, image))
    return found


def _is_renamed(found: FoundImage) -> bool:
    """Whether a kustomization leaves the tag to the image that it renames."""
    old = parse_image(found.container) if found.resource == "Kustomization" else None
    image = parse_image(found.text)
    pinned = any(targets(image.rest)) if image else False
    return old is not None and old.repository != found.repository and not pinned


def _unclear(file: str, found: FoundImage) -> Problem:
    text = printable(found.text, LONGEST_SHOWN)
    return Problem(
        f"{file}, line {found.line}: {text!r} does not say which image {found.owner} uses, and no "
        "other file of the manifests does.",
        'Add the file that sets it, or name the image in the input "keep" and leave this file out.',
    )
