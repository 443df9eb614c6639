"""The command ``doctor``: what would make a publish fail, asked of the real parts.

It writes nothing: it begins an upload and cancels it, and deletes a tag that is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from feastflow_registry.commands import doctor
from feastflow_registry.commands.app import App
from feastflow_registry.commands.doctor import Check
from feastflow_registry.model import credentials, tag_names
from feastflow_registry.model.errors import Problem
from feastflow_registry.model.images import Deleted
from feastflow_registry.model.plan import Latest
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.registry.client import RegistryClient
from feastflow_registry.registry.delete import RegistryDeletion
from feastflow_registry.registry.docker_hub import HubClient
from feastflow_registry.registry.docker_hub_json import HubRepository, PullLimit
from feastflow_registry.report.results import Answer

_NOWHERE = Digest(f"sha256:{'0' * 64}")


@dataclass(frozen=True, slots=True)
class Examination:
    """The checks of one run. ``known``: what Docker Hub has said of each repository."""

    app: App
    known: dict[Repository, HubRepository | None] = field(default_factory=dict)

    def run(self) -> Answer:
        """Print what doctor finds; fail as the first thing that is wrong would fail a publish."""
        found = []
        for each in doctor.examine(self._checks()):
            found.append(each)
            for line in each.lines:
                self.app.log.say(line)
        failure = doctor.verdict(found)
        if failure:
            raise failure
        return Answer()

    def _checks(self) -> Iterator[Check]:
        repositories = [each.repository for each in self.app.services]
        yield Check("engine", self.app.engine.describe)
        yield Check("builder", self.app.engine.describe_builder)
        yield Check("names", lambda: ", ".join(map(str, repositories)))
        yield Check("git", self._check_git)
        yield Check("credentials", self._check_credentials)
        if self.app.hub:
            yield Check("pulls", self._check_pulls, needed=False)
        for service in self.app.services:
            yield Check(f"push to {service.repository}", partial(self._check_scope, service))
            if self.app.hub:
                yield from self._hub_checks(self.app.hub, service.repository)
            else:
                ask = partial(self._check_deletion, service.repository)
                yield Check(f"prune of {service.repository}", ask, needed=False)

    def _hub_checks(self, hub: HubClient, repository: Repository) -> Iterator[Check]:
        """What Docker Hub's own API tells of a repository. The first one asks it, once."""

        def look() -> str | Problem:
            self.known[repository] = hub.about(repository)
            return doctor.visibility(self.known[repository])

        def judge() -> str | Problem:
            return doctor.movable(self.known.get(repository), self._shared_tags())

        yield Check(f"visibility of {repository}", look, needed=False)
        if repository not in self.known:
            return  # It could not be asked.
        yield Check(f"tags of {repository}", judge)
        ask = partial(self._check_hub_deletion, hub, repository)
        yield Check(f"prune of {repository}", ask, needed=False)

    def _check_git(self) -> str:
        self.app.git.ensure(self.app.context.checkout)
        depth = "cut off, so the remote is asked" if self.app.git.is_shallow() else "whole"
        shared = (
            ""
            if self.app.permission.shared
            else f"; no shared tag moves {self.app.permission.reason}"
        )
        commit = self.app.context.commit.short
        return f"commit {commit}, nothing modified, history {depth}{shared}"

    def _check_credentials(self) -> str:
        if not self.app.credential:
            raise credentials.missing(self.app.settings.registry)
        self.app.registry.resolve(Reference(self.app.services[0].repository, self._commit_tag()))
        return f"accepted by {self.app.settings.registry} as {self.app.credential.username}"

    def _check_scope(self, service: Service) -> str:
        if not self.app.credential:
            raise credentials.missing(self.app.settings.registry)
        if not self.app.permission.push:
            return self._untried
        self.app.registry.check_push(service.repository)
        return "granted"

    def _check_pulls(self) -> str | Problem:
        repository, tag = self.app.services[0].repository, tag_names.LATEST
        response = self.app.registry.send("HEAD", repository, f"manifests/{tag}")
        return doctor.pulls(PullLimit.read(response.headers))

    def _check_hub_deletion(self, hub: HubClient, repository: Repository) -> str | Problem:
        known = self.known.get(repository)
        if known is None:
            return "nothing to delete"
        if not self.app.credential or not self.app.permission.push:
            return self._untried
        hub.check_delete(repository, self._absent_tag())
        return doctor.prunable(known, self._commit_tag()) or "the token may delete"

    def _check_deletion(self, repository: Repository) -> str:
        """Ask with a token of its own: to publish, nobody needs the right to delete."""
        if not self.app.credential or not self.app.permission.push:
            return self._untried
        auth = replace(self.app.registry.auth, delete=True, header=None)
        deletion = RegistryDeletion(RegistryClient(self.app.http, auth))
        deletion.delete_manifest(repository, _NOWHERE)
        by_tag = deletion.delete_tag(repository, self._absent_tag()) is not Deleted.UNSUPPORTED
        return f"the registry deletes by {'tag' if by_tag else 'digest'}"

    @property
    def _untried(self) -> str:
        return f"not tried, for this run may not push: {self.app.permission.reason}"

    def _absent_tag(self) -> Tag:
        return Tag.parse(f"doctor-{self.app.word()[:12]}")

    def _commit_tag(self) -> Tag:
        return tag_names.commit_tag(self.app.context.commit, self.app.settings.sha_length)

    def _shared_tags(self) -> list[Tag]:
        """What publishes move, whichever branch this run is on."""
        settings = self.app.settings
        latest = [] if settings.latest is Latest.NEVER else [tag_names.LATEST]
        return [*latest, *([settings.milestone] if settings.milestone else [])]
