"""Results for other programs: what ``--json`` prints. Pure.

``output.schema.json`` says what each key means. Keys may be added; none is taken away or renamed
without a new version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from feastflow_registry.model.errors import Problem
from feastflow_registry.model.plan import EditFile, Outcome, Plan
from feastflow_registry.report import results, text
from feastflow_registry.report.results import Result, Standing


def planned(
    plan: Plan, found: Sequence[Result], outcomes: Sequence[Outcome], *, dry_run: bool
) -> str:
    """What a command planned, and what came of it; of a dry run, nothing came."""
    return json.dumps(
        {
            **text.plan_data(plan),
            "dry_run": dry_run,
            "outcomes": [] if dry_run else list(map(_outcome, outcomes)),
            "images": results.images(found),
            "changes": list(map(_change, plan.every(EditFile))),
        }
    )


def failed(command: str, code: int, why: Sequence[Problem], standing: Standing) -> str:
    """Why a command did not come to its end, and what of the registry it had changed by then."""
    return json.dumps(
        {
            "command": command,
            "exit_code": code,
            "problems": problems(why),
            "standing": {
                state.replace(" ", "_"): list(map(str, tags))
                for state, tags in standing.states.items()
            },
        }
    )


def problems(found: Sequence[Problem]) -> list[Mapping[str, str | None]]:
    """What is wrong, each with what to do, and where more is said of it."""
    return [{"cause": each.cause, "fix": each.fix, "help": each.help or None} for each in found]


def _outcome(outcome: Outcome) -> Mapping[str, object]:
    return {
        "action": outcome.action.value,
        "service": outcome.service.name,
        "reference": str(outcome.reference),
        "digest": str(outcome.digest) if outcome.digest else None,
        "size": outcome.size or None,
        "note": outcome.note,
    }


def _change(edit: EditFile) -> Mapping[str, object]:
    return {
        "file": edit.file,
        "line": edit.line,
        "resource": edit.resource,
        "container": edit.container,
        "old": edit.old,
        "new": edit.new,
    }
