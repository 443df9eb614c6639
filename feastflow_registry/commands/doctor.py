"""Looking for what would make a publish fail, each finding with its fix.

What keeps no image from its tags is advice: that a repository is private, or that prune could not
delete. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from feastflow_registry.model.errors import Failure, Kind, Problem
from feastflow_registry.model.images import Verdict
from feastflow_registry.model.references import Tag
from feastflow_registry.registry.docker_hub_json import HubRepository, PullLimit

_MUTABLE = "Docker Hub → repository → Settings → Tag mutability: leave {} out of the rules."


@dataclass(frozen=True, slots=True)
class Check:
    """One question. ``ask`` answers with what it found, or with advice, or raises a failure.

    ``needed``: whether a publish needs it; else a failure is advice, too.
    """

    name: str
    ask: Callable[[], str | Problem]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer. ``kind`` is what a publish would fail with; problems without it are advice."""

    name: str
    detail: str = ""
    kind: Kind | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The answer as people read it, the fix below each problem."""
        mark = "✗" if self.kind else "!"
        said = ((f"{mark} {self.name}: {each.cause}", f"    {each.fix}") for each in self.problems)
        return [line for pair in said for line in pair] or [f"✓ {self.name}: {self.detail}"]


def examine(checks: Iterable[Check]) -> Iterator[Finding]:
    """Ask every question, whatever the others answer."""
    for check in checks:
        try:
            found = check.ask()
        except Failure as failure:
            kind = failure.kind if check.needed else None
            yield Finding(check.name, kind=kind, problems=failure.problems)
        else:
            advice = (found,) if isinstance(found, Problem) else ()
            yield Finding(check.name, "" if isinstance(found, Problem) else found, None, advice)


def verdict(found: Sequence[Finding]) -> Failure | None:
    """The failure that a publish would end with, if anything is wrong."""
    kinds = [each.kind for each in found if each.kind]
    if not kinds:
        return None
    names = ", ".join(each.name for each in found if each.kind)
    return Failure(kinds[0], f"a publish would fail: {names}.", "Mend what is marked ✗ above.")


def visibility(known: HubRepository | None) -> str | Problem:
    """Who may see a repository on Docker Hub."""
    if known is None:
        return "not there yet: the first push makes it, as private as the account's setting says"
    if known.private:
        return Problem(
            "images pushed but not visible: the repository is private.",
            "Docker Hub → repository → Settings → Make public (if appropriate).",
        )
    return "public"


def movable(known: HubRepository | None, tags: Sequence[Tag]) -> str | Problem:
    """Whether Docker Hub lets the shared tags move. Raises a conflict if it does not."""
    judged = {tag: known.immutable.judge(tag.value) for tag in tags} if known else {}
    for tag, (each, rule) in judged.items():
        if each is Verdict.YES:
            raise Failure(
                Kind.CONFLICT,
                f"{tag} can never move: the rule {rule[:100]!r} makes it immutable.",
                _MUTABLE.format(tag),
            )
    for tag, (each, rule) in judged.items():
        if each is Verdict.MAYBE:
            why = f"the rule {rule[:100]!r}" if rule else "the setting"
            return Problem(f"{tag} may be immutable by {why}.", _MUTABLE.format(tag))
    return f"{', '.join(map(str, tags)) or 'no shared tag'} may move"


def prunable(known: HubRepository, tag: Tag) -> Problem | None:
    """What keeps prune from deleting commit tags, of which this is one, if anything does."""
    each, rule = known.immutable.judge(tag.value)
    if each is Verdict.NO:
        return None
    why = f"the rule {rule[:100]!r}" if rule else "the setting"
    return Problem(
        f"prune cannot delete {tag}, which {each.value}, by {why}.", _MUTABLE.format(tag)
    )


def pulls(limit: PullLimit | None) -> str | Problem:
    """How many pulls are left; a HEAD is not counted as one."""
    if limit is None:
        return "not limited, or the registry does not say"
    window = f" in {limit.window / 3600:g} hours" if limit.window else ""
    left = f"{limit.remaining} of {limit.limit} are left{window}"
    if limit.remaining:
        return left
    return Problem(f"{left}.", "Wait until the window has passed, or use a higher plan.")
