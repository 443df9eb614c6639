"""Promise 3: two runs of one commit, and a commit tag that somebody else has written."""

from __future__ import annotations

import pytest
from support.memory import digest_of
from support.runs import TWIN, B, World, at_call, image

from feastflow_registry.model.errors import Kind

OWN = f"shop:commit-{B.short}"


@pytest.mark.parametrize("by_digest", [False, True])
class TestAdoption:
    """Another run of this commit publishes it while this one builds or pushes."""

    def test_before_the_push(self, by_digest: bool) -> None:
        world = World()
        probe = world.run(B, by_digest=by_digest).go()
        position = probe.number_of("resolve", OWN, 1)
        world = World()
        other = world.run(B, salt="other", by_digest=by_digest)
        run = world.run(B, by_digest=by_digest, before=at_call(position, other.go)).go()
        assert run.actions[1] == ("adopted", f"commit-{B.short}")
        assert run.outcomes[1].note == "it was published already, and a commit tag stays"
        assert world.own(B) == digest_of(f"shop {B} other") == run.outcomes[-1].digest
        assert run.builder.pushed == []

    def test_just_after_the_push(self, by_digest: bool) -> None:
        world = World()
        method = "set_tag" if by_digest else "push"
        position = world.run(B, by_digest=by_digest).go().number_of(method, OWN)
        world = World()

        def overwrite() -> None:
            world.put(image(B, salt="late"), f"commit-{B.short}")

        run = world.run(B, by_digest=by_digest, after=at_call(position, overwrite)).go()
        assert run.actions[1][0] == "adopted"
        assert world.at("latest") == image(B, salt="late").digest

    def test_after_it_was_proven(self, by_digest: bool) -> None:
        world = World()
        run = world.run(B, by_digest=by_digest).go()
        position = run.number_of("set_tag", "shop:latest")
        world = World()

        def overwrite() -> None:
            world.put(image(B, salt="late"), f"commit-{B.short}")

        run = world.run(B, by_digest=by_digest, after=at_call(position, overwrite)).go()
        assert world.at("latest") == image(B, salt="late").digest
        assert run.actions[-2:] == [("adopted", f"commit-{B.short}"), ("moved", "latest")]
        note = "another run of this commit published it at the same time"
        assert run.outcomes[-2].note == note

    def test_moves_the_tags_of_its_own_service_only(self, by_digest: bool) -> None:
        names = ("one", "two")
        run = World(names).run(B, by_digest=by_digest).go()
        position = run.number_of("set_tag", "two:latest")
        world = World(names)

        def overwrite() -> None:
            world.put(image(B, salt="late"), f"commit-{B.short}", name="two")

        run = world.run(B, by_digest=by_digest, after=at_call(position, overwrite)).go()
        for name in names:
            assert world.at("latest", name) == world.own(B, name)
        assert run.registry.subjects("set_tag").count("ada/one:latest") == 1
        assert ("kept", "latest") not in run.actions

    @pytest.mark.parametrize("inputs", [{"git_tag": "v1"}, {"extra_tags": "v1-{date}"}])
    def test_moves_what_no_newer_commit_takes_over(
        self, by_digest: bool, inputs: dict[str, str]
    ) -> None:
        tag = inputs.get("git_tag", "v1-20250304")
        run = World().run(B, by_digest=by_digest, **inputs).go()  # type: ignore[arg-type]
        position = run.number_of("set_tag", f"shop:{tag}")
        world = World()

        def overwrite() -> None:
            world.put(image(B, salt="late"), f"commit-{B.short}")

        after = at_call(position, overwrite)
        world.run(B, by_digest=by_digest, after=after, **inputs).go()  # type: ignore[arg-type]
        assert world.at(tag) == world.own(B) == image(B, salt="late").digest

    def test_a_foreign_commit_tag_is_a_conflict_at_any_moment(self, by_digest: bool) -> None:
        count = len(World().run(B, by_digest=by_digest).go().registry.calls)
        for position in range(count):
            world = World()

            def intrude(world: World = world) -> None:
                world.put(image(TWIN), f"commit-{B.short}")

            run = world.run(B, by_digest=by_digest, before=at_call(position, intrude))
            failure = run.failure()
            if failure:
                assert failure.kind is Kind.CONFLICT
                assert 'raise the input "sha-length"' in str(failure)
                assert world.commit_at(f"commit-{B.short}") == TWIN
            else:  # It came just before our push, or too late to be seen.
                assert position > run.number_of("resolve", OWN, 1)
