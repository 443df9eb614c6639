"""Which source of history to believe: the clone where it can prove, else the remote."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from feastflow_registry.policy import Relation
from feastflow_registry.ports import History
from feastflow_registry.references import Commit


@dataclass(slots=True)
class LayeredHistory:
    """The clone first, then GitHub, which is only reached for when it is needed.

    What changes meanwhile (branches, git tags) is always asked of the remote.
    """

    clone: History
    reach: Callable[[], History]
    _remote: History | None = None
    _relations: dict[tuple[Commit, Commit], Relation] = field(default_factory=dict)

    @property
    def remote(self) -> History:
        """The remote's own history."""
        if self._remote is None:
            self._remote = self.reach()
        return self._remote

    def relation(self, base: Commit, head: Commit) -> Relation:
        """Say where ``head`` stands to ``base``; each pair is asked once."""
        known = self._relations.get((base, head))
        if known is None:
            known = self.clone.relation(base, head)
            if known is Relation.UNKNOWN:
                known = self.remote.relation(base, head)
            self._relations[base, head] = known
        return known

    def newer(self, commit: Commit, branch: str) -> Iterable[Commit]:
        """List what a branch has beyond a commit, newest first."""
        return self.remote.newer(commit, branch)

    def git_tag(self, name: str) -> Commit | None:
        """Name the commit of a git tag."""
        return self.remote.git_tag(name)

    def resolve(self, abbreviation: str) -> Commit | None:
        """Complete an abbreviated commit."""
        return self.clone.resolve(abbreviation) or self.remote.resolve(abbreviation)
