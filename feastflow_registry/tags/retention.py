"""Which tags of a repository may go: a decision with its reason for every one of them. Pure.

Only commit tags, parts of their images, markers of withdrawn commits, and what other tools keep
beside an image ever go.
Whatever somebody may rely on stays: the newest, the young, those of unknown age, those whose image
another tag holds, those that ``keep`` or a file names, and the marker of a commit that stays.
Signatures and the like live and die with the image that they are about; a part goes as soon as its
image is put together, or when it is too old for that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain

from feastflow_registry.config.filter_patterns import matches
from feastflow_registry.config.selectors import KeepItem
from feastflow_registry.model.images import ImmutableTags, Names, Verdict
from feastflow_registry.model.plan import DeleteTag, KeepTag
from feastflow_registry.model.references import Digest, Tag
from feastflow_registry.model.tag_names import COMMIT, LATEST
from feastflow_registry.tags.catalog import Catalog, Entry

KEEP = 'the input "keep"'
UNDATED = "its age is not known"
UNDATED_MARK = "the registry does not tell since when it marks"
_COMMIT = re.compile(rf"{COMMIT}[0-9a-f]{{4}}")
_OTHER = "only commit tags are ever deleted"


@dataclass(frozen=True, slots=True)
class Retention:
    """What is to be kept of one repository.

    ``named``: what is used elsewhere; ``parts``: what images are made of, as far as it was asked;
    ``created``: when they were made, as far as that could keep them; ``absent``: images that are
    not there, though there are signatures of them.
    """

    now: datetime
    days: int
    last: int
    patterns: tuple[str, ...] = ()
    named: Names = field(default_factory=dict)
    immutable: ImmutableTags = field(default_factory=ImmutableTags)
    parts: Mapping[Digest, frozenset[Digest]] = field(default_factory=dict)
    created: Mapping[Digest, datetime] = field(default_factory=dict)
    absent: frozenset[Digest] = frozenset()

    def age(self, entry: Entry) -> timedelta | None:
        """How long a tag has been there, at most; nothing, if that is not known."""
        moment = self.moment(entry)
        return self.now - moment if moment else None

    def made_of(self, digest: Digest) -> frozenset[Digest]:
        """All that an image lists, as far as it was asked."""
        return self.parts.get(digest, frozenset())

    def moment(self, entry: Entry) -> datetime | None:
        """Since when it is there. Without a push date, a commit may have been published late.

        An image may be a lot older than the tag of an unknown commit, and a commit than its marker.
        """
        if entry.pushed or entry.is_marker or not entry.revision:
            return entry.pushed
        made = self.created.get(entry.digest) if entry.digest else None
        return max(filter(None, (entry.revision.committed, made)))


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of one tag, and why; ``dated``: the date that decided, if one did."""

    entry: Entry
    kept: bool
    reason: str
    dated: str = ""


def judge(catalog: Catalog, retention: Retention) -> tuple[Ruling, ...]:
    """Decide about every tag, in the catalog's order."""
    kept = _kept_for_themselves(catalog, retention)
    while more := _kept_along(catalog, retention, kept):
        kept |= more
    return tuple(
        Ruling(
            each,
            each.tag in kept,
            kept.get(each.tag) or _why_it_goes(each, retention),
            _dated(each, retention),
        )
        for each in catalog.entries
    )


def unpushed(rulings: Iterable[Ruling]) -> frozenset[Digest]:
    """The images that go by their commit's date: each may have been made later."""
    return going(each for each in rulings if each.dated and not each.entry.pushed)


def going(rulings: Iterable[Ruling]) -> frozenset[Digest]:
    """The images of the tags that go."""
    found = (each.entry.digest for each in rulings if not each.kept)
    return frozenset(each for each in found if each)


def needs(rulings: Iterable[Ruling], retention: Retention) -> dict[Digest, Tag]:
    """The images and parts of images that stay, each with a tag that needs it."""
    kept = (each.entry for each in rulings if each.kept)
    held = {each.digest: each.tag for each in kept if each.digest}
    parts = ((part, tag) for each, tag in held.items() for part in retention.made_of(each))
    return {**dict(parts), **held}


def steps(
    catalog: Catalog, rulings: Sequence[Ruling], needed: Mapping[Digest, Tag]
) -> tuple[DeleteTag | KeepTag, ...]:
    """Delete the oldest first, and what is about an image after it; then say what is kept.

    ``needed``: what must be left where a tag cannot be deleted without its image.
    """
    service = catalog.service
    due = [each for each in reversed(rulings) if not each.kept]
    due.sort(
        key=lambda each: (
            each.entry.subject is not None,
            each.entry.is_marker,
            each.entry.is_part,
        )
    )
    holders = (needed.get(each.entry.digest) if each.entry.digest else None for each in due)
    deletions = (
        DeleteTag(service, each.entry.tag, each.entry.digest, each.reason, holder, each.dated)
        for each, holder in zip(due, holders, strict=True)
    )
    kept = (each for each in rulings if each.kept)
    keeps = (KeepTag(service, each.entry.tag, each.entry.digest, each.reason) for each in kept)
    return (*deletions, *keeps)


def _kept_for_themselves(catalog: Catalog, retention: Retention) -> dict[Tag, str]:
    dated = [(age, each) for each in catalog.commits if (age := retention.age(each)) is not None]
    dated.sort(key=lambda each: each[0])
    newest = {each.tag for _, each in dated[: retention.last]}
    others = [each for each in catalog.entries if not _is_owned(each)]
    others.sort(key=lambda each: each.tag == LATEST)
    holders = {each.digest: each.tag for each in others}
    found = ((each.tag, _why_kept(each, retention, newest, holders)) for each in catalog.entries)
    return {tag: why for tag, why in found if why}


def _is_owned(entry: Entry) -> bool:
    """Whether a tag is one of those that ever go."""
    return entry.is_commit or entry.is_part or entry.is_marker or entry.subject is not None


def _why_kept(
    entry: Entry,
    retention: Retention,
    newest: Collection[Tag],
    holders: Mapping[Digest | None, Tag],
) -> str:
    """Why a tag stays whatever becomes of others; nothing, if it may go."""
    if not _is_owned(entry):
        return _OTHER
    if entry.digest is None:
        return "what it holds could not be read"
    if where := _named(entry, retention, entry.digest):
        return where
    if entry.is_commit and entry.digest in holders:
        return f"{holders[entry.digest]} holds the same image"
    verdict, rule = retention.immutable.judge(entry.tag.value)
    if verdict is Verdict.YES:
        return f"it is immutable on Docker Hub by the rule {rule[:100]!r}"
    if entry.subject or entry.joined:
        return ""
    if entry.tag in newest:
        return f'it is among the newest {retention.last} (the input "keep-last")'
    age = retention.age(entry)
    if age is None:
        return UNDATED_MARK if entry.is_marker else UNDATED
    # Clocks differ by a moment: with no days to wait for, nothing is younger than that.
    young = age < timedelta(days=retention.days) and retention.days > 0
    return f'it is younger than {retention.days} days (the input "keep-days")' if young else ""


def _named(entry: Entry, retention: Retention, digest: Digest) -> str:
    used: tuple[Tag | Digest, ...] = (entry.tag, digest, *sorted(retention.made_of(digest)))
    where = next((retention.named[each] for each in used if each in retention.named), "")
    if not where and entry.is_commit:
        same = (why for each, why in retention.named.items() if _same_commit(each, entry.tag))
        where = next(same, "")
    if not where and matches(entry.tag.value, retention.patterns):
        where = KEEP
    return f"{where} names it" if where else ""


def _same_commit(named: Tag | Digest, tag: Tag) -> bool:
    """Whether a tag is named by more or fewer of its commit's digits."""
    short, long = sorted((named.value, tag.value))
    return _COMMIT.match(short) is not None and long.startswith(short)


def _kept_along(catalog: Catalog, retention: Retention, kept: Mapping[Tag, str]) -> dict[Tag, str]:
    """What stays because of what does: a marker keeps its image, a commit keeps its marker.

    An image, and each of its platforms, keeps what is about it. What is about an image without a
    tag stays as long as that is there: somebody may use it by its digest.
    """
    stays = [each for each in catalog.entries if each.tag in kept]
    marked = {each.digest: each.tag for each in stays if each.is_marker}
    commits = {each.digits for each in stays if each.is_commit}
    images = {each.digest for each in stays if each.is_commit}
    needed = needs((Ruling(each, True, "") for each in stays), retention)
    known = {*catalog.sharing, *chain.from_iterable(retention.parts.values()), *retention.absent}
    more: dict[Tag, str] = {}
    for each in catalog.entries:
        if each.tag in kept:
            continue
        if each.is_commit and each.digest in marked:
            more[each.tag] = f"{marked[each.digest]} is kept, which marks its image"
        if each.is_marker and (each.digits in commits or each.digest in images):
            more[each.tag] = "the commit that it marks is kept"
        if each.subject in needed:
            more[each.tag] = f"{needed[each.subject]} is kept, and it is about its image"
        elif each.subject and each.subject not in known:
            more[each.tag] = "it is about an image without a tag"
    return more


def _why_it_goes(entry: Entry, retention: Retention) -> str:
    if entry.subject:
        gone = entry.subject in retention.absent
        return "its image is not there any more" if gone else "it goes with its image"
    if entry.joined:
        return "its image is put together"
    age = retention.age(entry)
    days = age.days if age else 0
    return f"{days} {'day' if days == 1 else 'days'} old"


def _dated(entry: Entry, retention: Retention) -> str:
    """The date that a tag's age is counted from, and of what it is."""
    moment = retention.moment(entry)
    if entry.subject or entry.joined or moment is None:
        return ""
    committed = entry.revision.committed if entry.revision else None
    what = "pushed" if entry.pushed else "committed" if moment == committed else "made"
    return f"{what} {moment:%Y-%m-%d}"


def patterns(keep: Sequence[KeepItem]) -> tuple[str, ...]:
    """Those items of ``keep`` that are patterns of tags."""
    return tuple(each.pattern for each in keep if each.pattern)


def reaches(item: KeepItem, catalog: Catalog) -> bool:
    """Whether an item of ``keep`` names any tag that is there; what only takes out always does."""
    targets = item.targets(catalog.service.repository, catalog.sharing)
    return item.pattern.startswith("!") or any(
        each.tag.value == item.text
        or matches(each.tag.value, [item.pattern])
        or each.digest in targets
        or any(each.tag == target or _same_commit(target, each.tag) for target in targets)
        for each in catalog.entries
    )
