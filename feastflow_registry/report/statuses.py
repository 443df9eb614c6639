"""What a commit status says of a published image, where people look for it: at the commit. Pure.

https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
"""

from __future__ import annotations

from collections.abc import Sequence

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.ports import Status
from feastflow_registry.model.references import Tag
from feastflow_registry.report.results import Result

_LONGEST = 140


def of_images(results: Sequence[Result], tag: Tag, run_url: str) -> tuple[Status, ...]:
    """A status for each image that is published under the commit's tag."""
    return tuple(
        Status(
            f"registry/{each.service.name}",
            _describe(each, tag),
            each.service.repository.tag_page(tag) or run_url,
        )
        for each in results
        if each.digest and tag in [reference.target for reference in each.tags]
    )


def unset(failure: Failure) -> str:
    """That nobody will find a status, and what to do."""
    problem = failure.problems[0]
    return f"The images are published, but no commit status says so: {problem}"


def _describe(result: Result, tag: Tag) -> str:
    """The image, cut where GitHub would refuse it: the digest says what the name was to say."""
    end = f":{tag} {result.digest.algorithm}:{result.digest.short}" if result.digest else ""
    return result.service.repository.name[: _LONGEST - len(end)] + end
