"""The commands ``publish``, ``build`` and ``push``: survey, plan, carry out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from feastflow_registry.builder.ledger import FileLedger
from feastflow_registry.commands.app import App
from feastflow_registry.model import tag_names
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.parallel import together
from feastflow_registry.model.plan import Command, Plan, Snapshot
from feastflow_registry.model.ports import BuiltImage
from feastflow_registry.model.run import RefKind
from feastflow_registry.report import results, statuses
from feastflow_registry.report.results import Answer
from feastflow_registry.tags import gate
from feastflow_registry.tags.converge import Settlement
from feastflow_registry.tags.execute import Execution
from feastflow_registry.tags.move import Tagger
from feastflow_registry.tags.planner import plan_run


@dataclass(frozen=True, slots=True)
class Publishing:
    """One of the three commands, on one run."""

    app: App

    def run(self) -> Answer:
        """Carry the command out."""
        if self.app.publishes:
            self.app.git.ensure(self.app.context.checkout)
        built = self._recall() if self.app.settings.command is Command.PUSH else {}
        snapshot = self._survey() if self.app.publishes else {}
        plan = plan_run(
            self.app.settings,
            self.app.context,
            self.app.permission,
            self.app.services,
            snapshot,
            self.app.all_services,
        )
        journal = self.app.journal
        journal.begin(plan)
        if self.app.settings.dry_run:
            return journal.answer(dry_run=True)
        self._check_built(plan, built)
        execution = self._execution(plan, built)
        for outcome in execution.run():
            journal.note(outcome)
        if self.app.settings.command is Command.BUILD:
            self._remember(execution.built)
        journal.pushed = self.app.publishes
        if self.app.publishes and self.app.context.in_runner:
            self._set_statuses(plan)
        return journal.answer(dry_run=False)

    def _set_statuses(self, plan: Plan) -> None:
        """Leave a record at the commit: a request a service, which fails nothing."""
        context = self.app.context
        tag = tag_names.commit_tag(context.commit, self.app.settings.sha_length)
        found = results.results(plan, self.app.journal.outcomes)
        wanted = statuses.of_images(found, tag, context.run_url)
        setter = self.app.statuses()
        try:
            together(lambda each: setter.set(context.commit, each), wanted)
        except Failure as failure:
            self.app.log.notice(statuses.unset(failure))

    def _survey(self) -> Snapshot:
        shared = gate.shared_tags(self.app.settings, self.app.context, self.app.permission)
        return self.app.surveyor.survey(self.app.services, shared, self.app.settings.reuse)

    def _execution(self, plan: Plan, built: Mapping[str, BuiltImage]) -> Execution:
        tagger = Tagger(
            self.app.surveyor,
            self.app.http.clock,
            follows=bool(self._followed_branch()),
            attempted=self.app.journal.attempted,
        )
        settlement = Settlement(
            plan=plan,
            tagger=tagger,
            branch=self._followed_branch(),
            main=self.app.settings.main,
            others=gate.repointable(self.app.settings, self.app.permission),
        )
        return Execution(
            plan=plan,
            builder=lambda: self.app.engine,
            checker=self.app.checker,
            worktree=self.app.git,
            tagger=tagger,
            settlement=settlement,
            built=built,
        )

    def _followed_branch(self) -> str:
        """The branch whose newer commits take the moved tags over; none for a git tag."""
        if self.app.context.ref.kind is RefKind.TAG:
            return ""
        if self.app.context.in_runner:
            return self.app.context.ref.name
        return self.app.settings.main if self.app.permission.shared else ""

    def _recall(self) -> Mapping[str, BuiltImage]:
        return FileLedger(self.app.git.folder()).read(self.app.context.commit)

    def _check_built(self, plan: Plan, built: Mapping[str, BuiltImage]) -> None:
        making = {each.service for each in plan.builds}
        for push in plan.pushes:
            if push.service not in making and push.service.name not in built:
                raise Failure(
                    Kind.INPUT,
                    f"no build of {push.service.name} at commit {plan.commit.short} is known.",
                    "Run `feastflow-registry build` first; publish does both.",
                )

    def _remember(self, built: Mapping[str, BuiltImage]) -> None:
        kept = {name: image for name, image in built.items() if image.image_id}
        where = "has several platforms and stays in the cache"
        for name in built.keys() - kept.keys():
            self.app.log.notice(f"{name} {where}: use publish.")
        try:
            self.app.git.ensure(self.app.context.checkout)
        except Failure as failure:
            self.app.log.warning(f"push will not take this build: {failure.problems[0].cause}")
            return
        FileLedger(self.app.git.folder()).write(self.app.context.commit, kept)
