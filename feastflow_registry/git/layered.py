"""The clone's history where it can prove something, else the remote's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import TypeVar

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Relation
from feastflow_registry.model.ports import History
from feastflow_registry.model.references import Commit

T = TypeVar("T")
_ENOUGH = 100


@dataclass(slots=True)
class LayeredHistory:
    """Asks the clone first, then the remote, which is reached only when it is needed.

    What may change during a run (branches, git tags) is always asked of the remote; from the first
    time on that it does not answer, of ``spare``, if there is one, and ``warn`` is called. Several
    threads may ask.
    """

    clone: History
    reach: Callable[[], History]
    spare: History | None = None
    warn: Callable[[], None] = lambda: None
    _remote: History | None = None
    _is_lost: bool = False
    _relations: dict[tuple[Commit, Commit], Relation] = field(default_factory=dict)
    _ancestors: dict[Commit, Sequence[Commit]] = field(default_factory=dict)
    _asking: RLock = field(default_factory=RLock)

    @property
    def remote(self) -> History:
        """The remote's own history."""
        with self._asking:
            if self._remote is None:
                self._remote = self.reach()
            return self._remote

    def relation(self, base: Commit, head: Commit) -> Relation:
        """Say where ``head`` stands to ``base``; each pair is asked once."""
        with self._asking:
            if (base, head) not in self._relations:
                relation = self.clone.relation(base, head)
                if relation is Relation.UNKNOWN:
                    relation = self.remote.relation(base, head)
                self._relations[base, head] = relation
            return self._relations[base, head]

    def newer(self, commit: Commit, branch: str) -> Iterable[Commit]:
        """List what a branch has beyond a commit, newest first."""
        return self._ask(lambda remote: remote.newer(commit, branch))

    def ancestors(self, commit: Commit) -> Sequence[Commit]:
        """List the first parents before a commit, newest first; each is asked once."""
        with self._asking:
            if commit not in self._ancestors:
                commits = self.clone.ancestors(commit)
                if not commits or (len(commits) < _ENOUGH and self.clone.is_shallow()):
                    commits = max(commits, self.remote.ancestors(commit), key=len)
                self._ancestors[commit] = commits
            return self._ancestors[commit]

    def is_shallow(self) -> bool:
        """Whether neither has the whole history: by hand, the remote's is what the clone knows."""
        return self.clone.is_shallow() and self.remote.is_shallow()

    def git_tag(self, name: str) -> Commit | None:
        """Name the commit of a git tag."""
        return self._ask(lambda remote: remote.git_tag(name))

    def git_tag_names(self) -> Collection[str]:
        """Name all git tags."""
        return self._ask(lambda remote: remote.git_tag_names())

    def resolve(self, abbreviation: str) -> Commit | None:
        """Complete an abbreviated commit."""
        return self.clone.resolve(abbreviation) or self.remote.resolve(abbreviation)

    def _ask(self, question: Callable[[History], T]) -> T:
        if not self._is_lost:
            try:
                return question(self.remote)
            except Failure as failure:
                if self.spare is None or failure.kind is not Kind.UNREACHABLE:
                    raise
            self._is_lost = True
            self.warn()
        assert self.spare
        return question(self.spare)
