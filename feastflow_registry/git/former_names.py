"""Former names of a repository: GitHub redirects them to its number, which no new name changes.

Once somebody else has taken such a name, it leads to another number, and is ours no more.

https://docs.github.com/en/repositories/creating-and-managing-repositories/renaming-a-repository
https://docs.github.com/en/rest/repos/repos#get-a-repository
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from threading import Lock

from feastflow_registry.git.github import GitHubApi
from feastflow_registry.model.errors import Failure, Kind

_FIX = 'If it was, give that name in the input "also-known-as"; else use another image name.'


@dataclass(slots=True)
class FormerNames:
    """Asks once for each name. Several threads may ask. ``number``: our own, if it is known."""

    api: GitHubApi
    number: str = ""
    _told: dict[str, bool | Failure] = field(default_factory=dict)
    _asking: Lock = field(default_factory=Lock)

    def holds(self, name: str) -> bool:
        """Whether ``owner/name`` leads to this repository. Raises a failure if nobody tells."""
        with self._asking:
            if name not in self._told:
                try:
                    self._told[name] = self._ask(name)
                except Failure as failure:
                    self._told[name] = failure
            told = self._told[name]
        if isinstance(told, Failure):
            raise told
        return told

    def _ask(self, name: str) -> bool:
        """Compare numbers. That there is none is believed of who may see our own repository."""
        found = self._number(name, name)
        if not found or not self.number:
            own = self._number(self.api.repository, name)
            if not own:
                raise _untold(Kind.REFUSED, name, "GitHub does not show this repository")
            self.number = own
        return found == self.number

    def _number(self, repository: str, name: str) -> str:
        """The number behind a name; empty, where GitHub has none to show."""
        try:
            response = replace(self.api, repository=repository).send("GET", "")
        except Failure as failure:
            cause = failure.problems[0].cause.removesuffix(".")
            raise _untold(failure.kind, name, cause) from None
        if response.status == 404:
            return ""
        if response.status != 200:
            kind = Kind.REFUSED if response.status in (401, 403) else Kind.UNREACHABLE
            raise _untold(kind, name, f"GitHub's API answered {response.status}")
        try:
            number = json.loads(response.body)["id"]
        except (LookupError, TypeError, ValueError, RecursionError):
            number = None
        if type(number) is not int:
            raise _untold(Kind.UNREACHABLE, name, "GitHub's API sends damaged answers")
        return str(number)


def _untold(kind: Kind, name: str, cause: str) -> Failure:
    what = f"an image is labelled as {name}'s, and whether this repository was {name} is not known"
    return Failure(kind, f"{what}: {cause}.", _FIX)
