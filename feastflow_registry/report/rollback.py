"""Where the tags of a rollback stand in the end, and what is left for a person to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from feastflow_registry.model.plan import Command, KeepTag, MoveTag, Outcome, Plan
from feastflow_registry.model.wording import some
from feastflow_registry.report import markdown, text


def lines(plan: Plan, outcomes: Sequence[Outcome]) -> list[str]:
    """Say both, and the commands for a cluster last, as these are copied."""
    found = [*_stand(plan, outcomes), *plan.advice]
    if plan.kubectl:
        found.append(f"{markdown.CLUSTER[plan.guessed]}:")
        found += [f"  {each}" for each in plan.kubectl]
    return found


def _stand(plan: Plan, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield what each tag holds, of the services where it is the same: the last word counts."""
    if plan.command is not Command.ROLLBACK:
        return
    names, called = text.names(plan), text.called(plan.services)
    last = {each.reference: each for each in outcomes}
    found: dict[tuple[str, str], dict[str, None]] = {}
    for step in plan.steps:
        if isinstance(step, MoveTag | KeepTag) and (end := last.get(step.reference)) and end.digest:
            before = step.expect if isinstance(step, MoveTag) else step.current
            holds = names.get(end.digest, end.digest.short)
            holds += ", as before" if end.digest == before else " now"
            holds += ", and that is marked as bad" if end.digest in plan.withdrawn else ""
            found.setdefault((step.tag.value, holds), {})[called[step.service]] = None
    for (tag, holds), services in found.items():
        yield f"`{tag}` of {some(list(services))}: {holds}."
