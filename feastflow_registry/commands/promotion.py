"""What ``promote`` will do: which tag of which repository an image gets, and by which rule.

It refuses a name that is a commit's or a git tag's own, a milestone that is final, a step back,
and an image that was withdrawn, unless ``latest: force`` says so for ``latest``.
"""

from __future__ import annotations

from dataclasses import replace

from feastflow_registry.config.selectors import Destination
from feastflow_registry.model import plan, tag_names
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.plan import (
    CopyImage,
    KeepTag,
    Latest,
    MoveTag,
    ReuseImage,
    Rule,
    SharedTag,
    Step,
)
from feastflow_registry.model.references import Reference, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.tags import rules
from feastflow_registry.tags.choose import Chosen
from feastflow_registry.tags.survey import Surveyor


def plan_promotion(
    service: Service,
    chosen: Chosen,
    destination: Destination,
    there: Surveyor,
    *,
    latest: Latest,
    withdrawn: bool,
) -> tuple[Step, ...]:
    """Plan what one service's image gets. ``there``: eyes on the registry that it goes to.

    Raises a conflict where the rule of the tag forbids it.
    """
    target = replace(service, repository=destination.repository(service))
    reference = Reference(target.repository, _name(chosen, destination))
    source = Reference(chosen.repository, chosen.tag or chosen.digest)
    steps: list[Step] = [ReuseImage(target, source, chosen.image)]
    if target.repository != chosen.repository:
        digest = Reference(chosen.repository, chosen.digest)
        steps.append(CopyImage(target, digest, target.repository))
    rule = _rule(reference, chosen, latest)
    step = _settle(target, reference, chosen, rule, there, withdrawn=withdrawn)
    return (*steps, step)


def _name(chosen: Chosen, destination: Destination) -> Tag:
    name = destination.tag or chosen.tag
    if name is None or (destination.tag is None and not name.value.startswith(tag_names.COMMIT)):
        raise Failure(
            Kind.INPUT,
            f"no commit tag holds {chosen}, so there is no tag to promote it to.",
            "Name one in the input tag, as in host/repository:tag.",
        )
    return name


def _rule(reference: Reference, chosen: Chosen, latest: Latest) -> Rule:
    if reference.target == tag_names.LATEST:
        return Rule.FORCE if latest is Latest.FORCE else Rule.FORWARD
    return Rule.COMMIT if reference.target == chosen.tag else Rule.MILESTONE


def _settle(
    service: Service,
    reference: Reference,
    chosen: Chosen,
    rule: Rule,
    there: Surveyor,
    *,
    withdrawn: bool,
) -> Step:
    """Say what becomes of the tag, by the rules of publish."""
    commit = chosen.commit or there.commit
    assert isinstance(reference.target, Tag)
    if rule is Rule.COMMIT:
        held = there.registry.resolve(reference)
        if held not in (None, chosen.digest):
            raise _refused(reference, f"holds another image, {held.short}, and is written once")
        facts = plan.Facts(None)
    else:
        eyes = replace(there, commit=commit)
        facts = eyes.look(service.repository, SharedTag(reference.target, rule), chosen.digest)
        facts = replace(facts, withdrawn=withdrawn)
        held = facts.current.digest if facts.current else None
    if held == chosen.digest:
        return KeepTag(service, reference, held, rules.THERE)
    if chosen.commit is None and rule is not Rule.FORCE and held:
        raise _refused(reference, f"is there, and nothing tells which commit {chosen} is of")
    decision = rules.decide(rule, facts, digest=chosen.digest, reference=reference, commit=commit)
    if facts.withdrawn and not decision.move:
        raise Failure(
            Kind.CONFLICT,
            f"{chosen} was withdrawn by a rollback.",
            "Promote another commit. A mark stays: if it is good after all, commit it anew.",
        )
    if not decision.move:
        final = facts.frozen or facts.git_tag not in (None, commit)
        why = f"is not moved to {commit.short}: {decision.reason}"
        raise _refused(reference, why, final=final)
    return MoveTag(service, reference, rule, held)


def _refused(reference: Reference, why: str, *, final: bool = False) -> Failure:
    fix = "Promote a newer commit or choose another tag; to go back, use rollback."
    if reference.target == tag_names.LATEST:
        fix = "Promote a newer commit; to go back, use rollback or latest: force."
    if final:
        fix = "Choose another tag: this one stays what it is."
    return Failure(Kind.CONFLICT, f"{reference} {why}.", fix)
