"""Catalogs as people and programs read them: a table, a chart of the size, JSON. Pure.

Subjects of commits come from anywhere; none can break a table. Subjects stand last, so that wide
characters push nothing out of its column.
https://mermaid.js.org/syntax/xyChart.html
"""

from __future__ import annotations

import json as json_format
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice, pairwise

from feastflow_registry.model import wording
from feastflow_registry.model.marks import NOTHING
from feastflow_registry.model.references import Digest, Tag
from feastflow_registry.model.tag_names import frozen_marker, withdrawn_digits
from feastflow_registry.report import columns
from feastflow_registry.report.summary import (
    Block,
    Summary,
    Table,
    code,
    counted,
    join,
    label,
    link,
    tag_link,
)
from feastflow_registry.tags.catalog import Catalog, Entry, in_order

_BARS = "▁▂▃▄▅▆▇█"
_MOST_BARS = 60
_MOST_CHARTED = 30
_MOST_NAMED = 3
_LONGEST_SUBJECT = 60
_STYLE = (
    '%%{init: {"xyChart": {"width": 700, "height": 200, "xAxis": {"labelFontSize": 9}}, '
    '"themeVariables": {"xyChart": {"plotColorPalette": "PALETTE"}}}}%%'
)
_COLOURS = {
    "blue": "#1d63ed",
    "orange": "#d97706",
    "green": "#15803d",
    "violet": "#7c3aed",
    "red": "#dc2626",
    "grey": "#6b7280",
}
_COLUMNS = ("TAG", "DIGEST", "SIZE", "PUSHED", "COMMIT", "AUTHORED", "NOTE", "SUBJECT")
_WORTH = ("TAG", "DIGEST", "COMMIT", "NOTE", "PUSHED", "SIZE", "AUTHORED", "SUBJECT")
"""What is left out or cut last, where a terminal is narrow. A tag and a digest are to be copied."""
_LEAST = {"NOTE": 20, "SUBJECT": 20}

Namesakes = Mapping[Digest | None, Mapping[Tag, None]]
"""By image, the tags that hold it, in their order."""


def nothing(catalog: Catalog) -> str:
    """Say that there is no tag to show."""
    repository = catalog.service.repository
    return f"{repository} holds no tags: nothing was published there, or this user may not see it."


def lines(catalogs: Sequence[Catalog], width: int = 0, *, whole: bool = False) -> list[str]:
    """A table and a chart of each service, as a width allows; ``whole``: with whole digests."""
    blocks = (_block(each, width, whole) for each in catalogs if each.entries)
    return [line for block in blocks for line in (*block, "")][:-1]


def _block(catalog: Catalog, width: int, whole: bool) -> list[str]:
    namesakes = _namesakes(catalog)
    cells = [_columns(each, namesakes) for each in catalog.entries]
    rows = [dict(zip(_COLUMNS, row, strict=True)) for row in cells]
    if whole:
        for row, entry in zip(rows, catalog.entries, strict=True):
            row["DIGEST"] = str(entry.digest or "?")
    head = {name: name if any(row[name] for row in rows) else "" for name in _COLUMNS}
    fitting = columns.fit([head, *rows], width, worth=_WORTH, whole=2, least=_LEAST)
    widths = {name: fitting[name] for name in _COLUMNS if name in fitting}
    table = [columns.aligned(row, widths, "SIZE") for row in (head, *rows)]
    return [_title(catalog), *table, *_chart(catalog)]


def _title(catalog: Catalog) -> str:
    tags, images = len(catalog.entries), len(catalog.sharing)
    counted = f"{tags} {'tag' if tags == 1 else 'tags'} on {images} "
    counted += "image" if images == 1 else "images"
    return f"{catalog.service.repository}: {counted}, {_where(catalog.latest)}"


def _where(latest: Entry | None) -> str:
    if latest is None:
        return "no latest"
    digest = f" ({latest.digest.short})" if latest.digest else ""
    whose = f"commit {latest.digits}" if latest.digits else "an image of no commit tag"
    return f"latest is {whose}{digest}"


def _columns(entry: Entry, namesakes: Namesakes) -> tuple[str, ...]:
    revision = entry.revision
    return (
        entry.tag.value,
        entry.digest.short if entry.digest else "?",
        wording.size(entry.size) if entry.size else "",
        _minute(entry.pushed),
        entry.digits,
        _minute(revision.authored if revision else None),
        "; ".join(_notes(entry, namesakes)),
        _subject(entry),
    )


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def _subject(entry: Entry) -> str:
    text = entry.revision.subject if entry.revision else ""
    return text if len(text) <= _LONGEST_SUBJECT else f"{text[: _LONGEST_SUBJECT - 1]}…"


def _notes(entry: Entry, namesakes: Namesakes) -> list[str]:
    """What is worth knowing of a tag; the tags that share its image come last."""
    notes = ["part of an image"] if entry.is_part else []
    notes += ["withdrawn"] if entry.withdrawn else []
    notes += ["mark taken off"] if entry.digest == NOTHING else []
    notes += ["final"] if entry.frozen else []
    notes += [f"carried from {entry.made_by}"] if entry.made_by else []
    shared = namesakes.get(entry.digest, {})
    near = islice(shared, _MOST_NAMED + 1)
    first = [tag.value for tag in near if tag != entry.tag][:_MOST_NAMED]
    more = len(shared) - len(first) - (entry.tag in shared)
    listed = ", ".join(first) + (f" and {more} more" if more else "")
    return [*notes, f"= {listed}"] if first else notes


def _namesakes(catalog: Catalog) -> Namesakes:
    """The tags of each image, without the markers: what they say is said of the others."""
    return {digest: _unmarked(tags) for digest, tags in catalog.sharing.items()}


def _unmarked(tags: Sequence[Tag]) -> dict[Tag, None]:
    markers = {frozen_marker(each) for each in tags}
    kept = (each for each in tags if each not in markers and not withdrawn_digits(each))
    return dict.fromkeys(kept)


def _sizes(catalog: Catalog) -> list[Entry]:
    """The newest commits whose size and place are known, the oldest of them first."""
    known = [each for each in catalog.commits if each.size and each.moment]
    return in_order(known[:_MOST_BARS])[::-1]


def _chart(catalog: Catalog) -> list[str]:
    """The size over the commits as a sparkline from zero on, and where it doubled.

    Where it hardly changed, there is nothing to see.
    """
    known = _sizes(catalog)
    sizes = [each.size for each in known]
    if not _is_changed(sizes):
        return []
    low, high = min(sizes), max(sizes)
    bars = "".join(_BARS[max(0, round(size / high * len(_BARS)) - 1)] for size in sizes)
    span = " to ".join(dict.fromkeys((wording.size(low), wording.size(high))))
    return [f"size of {len(known)} commits, oldest first: {bars} {span}", *_jumps(known)]


def _jumps(known: Sequence[Entry]) -> list[str]:
    return [
        f"commit {new.digits} made it {new.size / old.size:.1f} times as large: "
        f"{wording.size(old.size)} to {wording.size(new.size)}"
        for old, new in pairwise(known)
        if new.size >= 2 * old.size
    ]


def json(catalogs: Sequence[Catalog]) -> str:
    """All that is known: ``{command, services: […]}``; of each, its tags, and the tags by image."""
    services = [
        {
            "service": each.service.name,
            "repository": str(each.service.repository),
            "latest": str(each.latest.digest) if each.latest and each.latest.digest else None,
            "tags": list(map(_entry, each.entries)),
            "images": {str(digest): list(map(str, tags)) for digest, tags in each.sharing.items()},
        }
        for each in catalogs
    ]
    return json_format.dumps({"command": "tags", "services": services})


def _entry(entry: Entry) -> Mapping[str, object]:
    revision = entry.revision
    return {
        "tag": entry.tag.value,
        "digest": str(entry.digest) if entry.digest else None,
        "size": entry.size or None,
        "pushed": _stamp(entry.pushed),
        "platforms": [str(each) for each in entry.platforms],
        "commit": (revision.commit.sha if revision else entry.digits) or None,
        "subject": revision.subject if revision else None,
        "authored": _stamp(revision.authored if revision else None),
        "withdrawn": entry.withdrawn,
        "carried_from": entry.made_by or None,
        "final": entry.frozen,
        "part": entry.is_part,
    }


def _stamp(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def markdown(catalogs: Sequence[Catalog]) -> str:
    """The job summary: a table of each service, and a chart where a size changed much."""
    listed = [each for each in catalogs if each.entries]
    tables = {_title(each): _table(each) for each in listed}
    notes = [nothing(each) for each in catalogs if not each.entries]
    notes += [f"⚠️ {each.service.name}: {jump}" for each in listed for jump in _jumps(_sizes(each))]
    chart = {"Compressed size of the newest commits": Block("mermaid", _mermaid(listed))}
    if len(listed) == 1:
        ((head, table),) = tables.items()
        return Summary(head, table=table, notes=notes, details=chart).markdown()
    several = len({each.service.repository.host for each in listed}) > 1
    overview = Table(
        ("service", "tags", "images", "latest", "size"),
        [_overview(each, several=several) for each in listed],
        frozenset({"tags", "images", "size"}),
    )
    tags = counted(sum(len(each.entries) for each in listed), "tag")
    names = {each.service.name for each in listed}
    head = f"{tags} of {counted(len(names), 'service')}" if listed else "No tags"
    return Summary(head, table=overview, notes=notes, details={**tables, **chart}).markdown()


def _overview(catalog: Catalog, *, several: bool) -> Sequence[str]:
    """A row; ``several``: whether the services are on several registries."""
    latest, service = catalog.latest, catalog.service
    name = str(service.repository) if several else service.name
    return (
        link(name, service.repository.page),
        str(len(catalog.entries)),
        str(len(catalog.sharing)),
        code(latest.digits or (latest.digest.short if latest.digest else "")) if latest else "",
        wording.size(latest.size) if latest and latest.size else "",
    )


def _table(catalog: Catalog) -> Table:
    namesakes = _namesakes(catalog)
    rows = [_row(catalog, each, namesakes) for each in catalog.entries]
    return Table(("tag", "digest", "size", "date", "commit", "note"), rows, frozenset({"size"}))


def _row(catalog: Catalog, entry: Entry, namesakes: Namesakes) -> Sequence[str]:
    _, digest, size, pushed, digits, authored, note, subject = _columns(entry, namesakes)
    commit = join(code(digits), subject, by=" ") if digits else ""
    name = tag_link(catalog.service.repository, entry.tag)
    return name, code(digest), size, pushed or authored, commit, note


def _mermaid(catalogs: Sequence[Catalog]) -> list[str]:
    """The sizes as GitHub draws them: a line for each service whose size changed by a fifth.

    They share the axis of the commits that all of them have.
    """
    series = {each.service.name: _by_commit(each) for each in catalogs}
    series = {name: each for name, each in series.items() if _is_changed(each.values())}
    series = dict(islice(series.items(), len(_COLOURS)))
    shared = [
        digits
        for digits in next(iter(series.values()), {})
        if all(digits in each for each in series.values())
    ]
    if len(shared) < 2:
        return []
    sizes = [[each[digits] / 1e6 for digits in shared] for each in series.values()]
    names = ", ".join(f"{name} {colour}" for name, colour in zip(series, _COLOURS, strict=False))
    palette = ", ".join(_COLOURS.values())
    kind = "bar" if len(series) == 1 else "line"
    return [
        _STYLE.replace("PALETTE", palette),
        "xychart-beta",
        f"    title {label(names if len(series) > 1 else next(iter(series)))}",
        f"    x-axis [{', '.join(label(each[:7]) for each in shared)}]",
        f'    y-axis "MB" 0 --> {max(map(max, sizes)) * 1.1:.6f}',
        *(f"    {kind} [{', '.join(f'{size:.6f}' for size in each)}]" for each in sizes),
    ]


def _by_commit(catalog: Catalog) -> dict[str, int]:
    return {each.digits: each.size for each in _sizes(catalog)[-_MOST_CHARTED:]}


def _is_changed(sizes: Collection[int]) -> bool:
    """Whether the largest is larger than the smallest by a fifth or more."""
    return bool(sizes) and 5 * max(sizes) >= 6 * min(sizes)
