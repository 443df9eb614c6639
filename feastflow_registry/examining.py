"""The command ``doctor``: what would make a publish fail, asked of the real parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from feastflow_registry import credentials, doctor, rules
from feastflow_registry.app import App
from feastflow_registry.errors import Failure
from feastflow_registry.references import Reference
from feastflow_registry.report import Answer
from feastflow_registry.services import Service


@dataclass(frozen=True, slots=True)
class Examination:
    """The checks of one run."""

    app: App

    def run(self) -> Answer:
        """Print what doctor finds; fail as the first thing that is wrong would fail a publish."""
        found = list(doctor.examine(self._checks()))
        for each in found:
            mark = "✗" if each.problems else "✓"
            self.app.log.say(f"{mark} {each.name}: {each.detail or 'failed'}")
        first = next((each.kind for each in found if each.kind), None)
        if first:
            raise Failure.of(
                first, dict.fromkeys(problem for each in found for problem in each.problems)
            )
        return Answer()

    def _checks(self) -> tuple[doctor.Check, ...]:
        return (
            doctor.Check("engine", self.app.engine.describe),
            doctor.Check("builder", self.app.engine.describe_builder),
            doctor.Check(
                "names", lambda: ", ".join(str(each.repository) for each in self.app.services)
            ),
            doctor.Check("git", self._check_git),
            doctor.Check("credentials", self._check_credentials),
            *(
                doctor.Check(f"push to {each.repository}", partial(self._check_scope, each))
                for each in self.app.services
            ),
        )

    def _check_git(self) -> str:
        self.app.git.ensure(self.app.context.checkout)
        depth = "cut off, so the remote is asked" if self.app.git.is_shallow() else "whole"
        return f"commit {self.app.context.commit.short}, nothing modified, history {depth}"

    def _check_credentials(self) -> str:
        if not self.app.credential:
            raise credentials.missing(self.app.settings.registry)
        tag = rules.commit_tag(self.app.context.commit, self.app.settings.sha_length)
        self.app.registry.resolve(Reference(self.app.services[0].repository, tag))
        return f"accepted by {self.app.settings.registry} as {self.app.credential.username}"

    def _check_scope(self, service: Service) -> str:
        if not self.app.credential:
            raise credentials.missing(self.app.settings.registry)
        if not self.app.permission.push:
            return f"not tried, for this run may not push: {self.app.permission.reason}"
        self.app.registry.check_push(service.repository)
        return "granted"
