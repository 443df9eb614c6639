from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.failures import fails
from support.memory import Call, FakeDeletion, FakeRegistry, digest_of
from support.runs import SHOP, B, service

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.images import Deleted, Published
from feastflow_registry.model.plan import (
    Action,
    Command,
    DeleteTag,
    KeepTag,
    Outcome,
    Permission,
    Plan,
)
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.tags import retention
from feastflow_registry.tags.delete import Deleter
from feastflow_registry.tags.retention import Retention
from unit.tags.test_catalog import ONE, THREE, TWO
from unit.tags.test_retention import repositories

INDEX = digest_of("an index")


@dataclass
class Place(FakeDeletion):
    """A registry with a few tags."""

    def put(self, digest: Digest, *tags: str, to: Service = SHOP) -> None:
        self.store.add(to.repository, Published(digest, None, ""), *map(Tag, tags))

    def deleter(self) -> Deleter:
        return Deleter(FakeRegistry(self.store), self, self)

    def tags(self, at: Service = SHOP) -> dict[str, Digest]:
        found = self.store.tagged.items()
        return {str(tag): digest for (where, tag), digest in found if where == at.repository}


def reference(tag: str, of: Service = SHOP) -> Reference:
    return Reference(of.repository, Tag(tag))


def going(tag: str, digest: Digest, of: Service = SHOP) -> DeleteTag:
    return DeleteTag(of, Tag(tag), digest, "400 days old")


def staying(tag: str, digest: Digest | None, of: Service = SHOP) -> KeepTag:
    return KeepTag(of, Tag(tag), digest, "it is young")


def plan(*steps: DeleteTag | KeepTag) -> Plan:
    return Plan(Command.PRUNE, B, Permission(True, True, "push on main"), steps)


def told(outcomes: Iterable[Outcome]) -> list[tuple[str, str, str]]:
    return [(each.action.value, each.reference.identifier, each.note) for each in outcomes]


def collect(deleter: Deleter, wanted: Plan) -> tuple[list[Outcome], Failure | None]:
    """Everything that was told, and what stopped it."""
    outcomes: list[Outcome] = []
    try:
        for each in deleter.run(wanted):
            outcomes.append(each)  # noqa: PERF402  What came before a failure counts.
    except Failure as failure:
        return outcomes, failure
    return outcomes, None


class TestByTag:
    def test_only_what_was_planned_goes(self) -> None:
        place = Place()
        place.put(ONE, "a", "b", "latest")
        wanted = plan(going("a", ONE), going("b", ONE), staying("latest", ONE))
        assert told(place.deleter().run(wanted)) == [("deleted", "a", ""), ("deleted", "b", "")]
        assert (place.tags(), place.deleted) == ({"latest": ONE}, ["a", "b"])

    def test_many_go_once_each(self) -> None:
        place = Place()
        tags = [f"t{number:02}" for number in range(20)]
        place.put(ONE, *tags)
        outcomes = told(place.deleter().run(plan(*(going(tag, ONE) for tag in tags))))
        assert outcomes == [("deleted", tag, "") for tag in tags]

    def test_nothing_is_asked_where_nothing_goes(self) -> None:
        place = Place()
        deleter = place.deleter()
        assert list(deleter.run(plan(staying("latest", ONE)))) == []
        assert isinstance(deleter.registry, FakeRegistry)
        assert deleter.registry.calls == []

    def test_each_service_has_its_own(self) -> None:
        place, pricing = Place(), service("pricing")
        place.put(ONE, "a")
        place.put(ONE, "a", "b", to=pricing)
        wanted = plan(going("a", ONE), going("a", ONE, pricing), staying("b", ONE, pricing))
        assert len(list(place.deleter().run(wanted))) == 2
        assert (place.tags(), place.tags(pricing)) == ({}, {"b": ONE})

    def test_one_that_is_gone_already(self) -> None:
        found = told(Place().deleter().run(plan(going("a", ONE))))
        assert found == [("deleted", "a", "it was gone already")]

    def test_one_that_has_changed_is_kept_and_the_others_go(self) -> None:
        place = Place()
        place.put(TWO, "a")
        place.put(ONE, "b")
        outcomes, failure = collect(place.deleter(), plan(going("a", ONE), going("b", ONE)))
        note = "it holds another image than when it was planned"
        assert told(outcomes) == [("kept", "a", note), ("deleted", "b", "")]
        assert failure
        assert failure.kind is Kind.CONFLICT
        cause = f"ada/shop:a holds {TWO.short} now instead of {ONE.short}, so it was kept."
        assert [each.cause for each in failure.problems] == [cause]
        assert place.tags() == {"a": TWO}

    @pytest.mark.parametrize("kept", ["a", "c"])
    def test_one_that_is_immutable_is_kept_and_the_others_go(self, kept: str) -> None:
        place = Place()
        place.put(ONE, "a", "b", "c")

        def keep(tag: str) -> None:
            if tag == kept:
                raise Failure(Kind.CONFLICT, f"{tag} is immutable.", "Keep it.")

        place.before = keep
        outcomes, failure = collect(place.deleter(), plan(*(going(tag, ONE) for tag in "abc")))
        note = "a rule of the registry makes it immutable"
        assert [each for each in told(outcomes) if each[0] == "kept"] == [("kept", kept, note)]
        assert failure
        assert failure.kind is Kind.CONFLICT
        assert str(failure) == f"{kept} is immutable. Keep it."
        assert (len(outcomes), place.tags()) == (3, {kept: ONE})

    def test_it_stops_at_the_first_refusal(self) -> None:
        place = Place()
        place.put(ONE, *(f"t{number:02}" for number in range(30)))

        def refuse(tag: str) -> None:
            if tag >= "t10":
                raise Failure(Kind.REFUSED, "no delete scope.", "Give another token.")

        place.before = refuse
        wanted = plan(*(going(f"t{number:02}", ONE) for number in range(30)))
        outcomes, failure = collect(place.deleter(), wanted)
        assert failure
        assert failure.kind is Kind.REFUSED
        assert [each.reference.identifier for each in outcomes] == place.deleted
        assert place.deleted == [f"t{number:02}" for number in range(10)]

    def test_all_that_failed_at_once_is_said(self) -> None:
        place = Place()
        place.put(ONE, *(f"t{number}" for number in range(9)))

        def refuse(tag: str) -> None:
            if tag in ("t2", "t4"):
                raise Failure(Kind.UNREACHABLE, f"{tag} failed.", "Run again.")

        place.before = refuse
        steps = [going(f"t{number}", ONE) for number in range(9)]
        outcomes, failure = collect(place.deleter(), plan(*steps))
        assert failure
        assert [each.cause for each in failure.problems] == ["t2 failed.", "t4 failed."]
        assert [each.reference.identifier for each in outcomes] == place.deleted
        assert sorted(place.tags()) == ["t2", "t4"]

    def test_one_that_is_not_deleted_after_others_were_takes_no_image_along(self) -> None:
        class Stray(Place):
            def delete_tag(self, repository: Repository, tag: Tag) -> Deleted:
                return (
                    Deleted.UNSUPPORTED if tag == Tag("b") else super().delete_tag(repository, tag)
                )

        place = Stray()
        place.put(ONE, "a", "b", "c")
        steps = plan(*(going(tag, ONE) for tag in "abc"))
        outcomes, failure = collect(place.deleter(), steps)
        assert told(outcomes) == [("deleted", "a", ""), ("deleted", "c", "")]
        assert failure
        assert failure.kind is Kind.UNREACHABLE
        assert "does not delete ada/shop:b, though it has deleted another" in str(failure)
        assert place.tags() == {"b": ONE}


class TestWholeImages:
    def place(self, **facts: Any) -> Place:
        return Place(by_tag=False, **facts)

    def test_one_goes_when_no_tag_on_it_stays(self) -> None:
        place = self.place()
        place.put(ONE, "a", "b")
        place.put(TWO, "c", "latest")
        needed = replace(going("c", TWO), needed=Tag("latest"))
        steps = (going("a", ONE), needed, going("b", ONE), staying("latest", TWO))
        note = "images are deleted whole here, and latest needs this one"
        assert told(place.deleter().run(plan(*steps))) == [
            ("kept", "c", note),
            ("deleted", "a", ""),
            ("deleted", "b", ""),
        ]
        assert place.tags() == {"c": TWO, "latest": TWO}
        assert place.deleted == [ONE.short]

    def test_a_tag_alone_is_tried_once(self) -> None:
        place, asked = self.place(), list[str]()
        place.before = asked.append
        tags = [f"t{number:02}" for number in range(20)]
        place.put(ONE, *tags)
        assert len(list(place.deleter().run(plan(*(going(tag, ONE) for tag in tags))))) == 20
        assert asked == ["t00", ONE.short]

    @pytest.mark.parametrize("movable", [True, False])
    def test_a_tag_that_came_to_need_it_meanwhile(self, movable: bool) -> None:
        place = self.place()
        place.put(ONE, "a", "latest")
        place.put(TWO, "b")
        place.put(THREE)
        # `latest` was elsewhere when it was listed, or was not there at all.
        kept = (staying("latest", THREE),) if movable else ()
        steps = plan(going("a", ONE), going("b", TWO), *kept)
        outcomes, failure = collect(place.deleter(), steps)
        note = "another tag came to need its image meanwhile"
        assert told(outcomes) == [("kept", "a", note), ("deleted", "b", "")]
        assert failure
        assert failure.kind is Kind.CONFLICT
        assert place.tags() == {"a": ONE, "latest": ONE}

    def test_a_tag_that_has_changed_keeps_what_it_holds_now(self) -> None:
        place = self.place()
        place.put(ONE, "a")
        place.put(TWO, "b", "c")
        steps = (going("a", ONE), going("b", ONE), going("c", TWO), going("gone", THREE))
        outcomes, failure = collect(place.deleter(), plan(*steps))
        kinds = {each.reference.identifier: each.action.value for each in outcomes}
        assert kinds == {"a": "deleted", "b": "kept", "c": "kept", "gone": "deleted"}
        assert failure
        assert failure.kind is Kind.CONFLICT
        assert place.tags() == {"b": TWO, "c": TWO}

    def test_the_first_that_is_deleted_shows_which(self) -> None:
        place = self.place()
        place.put(TWO, "b")
        (first, second), failure = collect(place.deleter(), plan(going("a", ONE), going("b", TWO)))
        assert failure is None
        assert [first.note, second.note] == ["it was gone already", ""]
        assert place.tags() == {}

    @pytest.mark.parametrize("index", [False, True])
    def test_a_tag_that_is_set_while_it_runs(self, index: bool) -> None:
        place = self.place()
        images = [digest_of(str(number)) for number in range(20)]
        for number, digest in enumerate(images):
            place.put(digest, f"t{number:02}")
        if index:
            place.indexes[INDEX] = frozenset({images[18]})

        def promote(what: str) -> None:
            if what == images[3].short:
                place.put(INDEX if index else images[18], "production", "commit-fffffff")

        place.before = promote
        steps = [going(f"t{number:02}", digest) for number, digest in enumerate(images)]
        outcomes, failure = collect(place.deleter(), plan(*steps))
        assert failure
        assert failure.kind is Kind.CONFLICT
        assert "now needs" in str(failure)
        kept = [each for each in outcomes if each.action is Action.KEPT]
        note = "another tag came to need its image meanwhile"
        assert told(kept) == [("kept", "t18", note)]
        assert sorted(place.tags()) == ["commit-fffffff", "production", "t18"]

    def test_the_tags_that_may_move_are_looked_at_between_any_two(self) -> None:
        place = self.place()
        images = [digest_of(str(number)) for number in range(16)]
        for number, digest in enumerate(images):
            place.put(digest, f"t{number:02}")
        place.put(ONE, "v1", "latest")
        steps = [going(f"t{number:02}", digest) for number, digest in enumerate(images)]
        deleter = place.deleter()
        kept = [staying(tag, ONE) for tag in ("v1", "latest", "commit-fffffff")]
        place.put(ONE, "commit-fffffff")
        list(deleter.run(plan(*steps, *kept)))
        assert isinstance(deleter.registry, FakeRegistry)
        asked = deleter.registry.subjects("resolve")
        assert asked.count("ada/shop:v1") == len(images) + 1
        # What moves with nobody's help is not looked at: a commit's own tag, and what is deleted.
        assert asked.count("ada/shop:commit-fffffff") == 0
        assert asked.count("ada/shop:t01") == 3

    def test_a_registry_that_deletes_nothing(self) -> None:
        place = self.place(whole=False)
        place.put(ONE, "a", "b")
        outcomes, failure = collect(place.deleter(), plan(going("a", ONE), going("b", ONE)))
        assert failure
        assert (outcomes, failure.kind) == ([], Kind.REFUSED)
        assert place.tags() == {"a": ONE, "b": ONE}


class TestPuttingBack:
    """A tag that is set just before the deletion goes with the image, and comes back."""

    def place(self, listed: frozenset[Digest] = frozenset()) -> Place:
        place = Place(by_tag=False, indexes={INDEX: listed} if listed else {})
        place.put(ONE, "a", "b")
        place.put(TWO, "c")
        place.put(THREE, "latest")
        return place

    def at(self, place: Place, moment: str, *tags: str, to: Digest) -> None:
        """Set tags just before something is deleted."""

        def set_tags(what: str) -> None:
            if what == moment:
                place.put(to, *tags)

        place.before = set_tags

    steps = (going("a", ONE), going("b", ONE), going("c", TWO), staying("latest", THREE))

    def test_a_tag_that_goes_with_the_image(self) -> None:
        place = self.place()
        self.at(place, ONE.short, "latest", to=ONE)
        outcomes, failure = collect(place.deleter(), plan(*self.steps))
        assert failure
        assert failure.kind is Kind.CONFLICT
        cause = f"ada/shop:latest came to need {ONE.short} while that was deleted: it was put back."
        assert [each.cause for each in failure.problems] == [cause]
        note = "another tag was given its image at that moment, and it was put back"
        assert told(outcomes) == [("kept", "a", note), ("kept", "b", note), ("deleted", "c", "")]
        assert place.tags() == dict.fromkeys(("a", "b", "latest"), ONE)

    def test_a_tag_that_was_gone_already_stays_away(self) -> None:
        place = self.place()
        del place.store.tagged[SHOP.repository, Tag("b")]
        self.at(place, ONE.short, "latest", to=ONE)
        outcomes, _ = collect(place.deleter(), plan(*self.steps))
        assert ("deleted", "b", "it was gone already") in told(outcomes)
        assert place.tags() == {"a": ONE, "latest": ONE}

    @pytest.mark.parametrize("moment", [ONE, TWO])
    def test_an_index_that_lists_what_went(self, moment: Digest) -> None:
        place = self.place(frozenset({ONE, TWO}))
        self.at(place, moment.short, "latest", to=INDEX)
        _, failure = collect(place.deleter(), plan(*self.steps))
        assert failure
        assert failure.kind is Kind.CONFLICT
        assert {ONE, TWO, INDEX} <= {digest for _, digest in place.store.images}
        assert place.tags()["latest"] == INDEX

    def test_an_index_that_lists_what_went_before(self) -> None:
        place = self.place(frozenset({ONE}))
        self.at(place, TWO.short, "latest", to=INDEX)
        outcomes, failure = collect(place.deleter(), plan(*self.steps))
        assert failure
        assert failure.kind is Kind.CONFLICT
        assert [each.action for each in outcomes] == [Action.DELETED] * 3
        assert place.tags() == {"latest": INDEX}
        assert {digest for _, digest in place.store.images} == {ONE, THREE, INDEX}

    def test_an_index_that_went_itself_comes_after_what_it_lists(self) -> None:
        place = self.place(frozenset({ONE, TWO}))
        place.put(INDEX, "d")
        self.at(place, INDEX.short, "latest", "d", to=INDEX)
        outcomes, failure = collect(place.deleter(), plan(*self.steps, going("d", INDEX)))
        assert failure
        assert len(failure.problems) == 3
        assert [each.action for each in outcomes] == [Action.DELETED] * 3 + [Action.KEPT]
        assert place.tags() == {"latest": INDEX, "d": INDEX}
        assert {ONE, TWO, INDEX} <= {digest for _, digest in place.store.images}

    def test_a_tag_that_is_listed_but_was_never_seen_is_told(self) -> None:
        place = self.place()
        place.before = lambda _: place.store.ghosts.add(Tag("production"))
        with fails("the image of ada/shop:production is not", kind=Kind.UNVERIFIED):
            list(place.deleter().run(plan(*self.steps)))

    def test_what_somebody_else_deletes_does_not_come_back(self) -> None:
        place = self.place()

        def delete(what: str) -> None:
            if what == ONE.short:
                place.store.images.pop((SHOP.repository, THREE))
                place.store.tagged.pop((SHOP.repository, Tag("latest")))

        place.before = delete
        outcomes, failure = collect(place.deleter(), plan(*self.steps))
        assert [each.action for each in outcomes] == [Action.DELETED] * 3
        assert failure
        assert "the image of ada/shop:latest is not on the registry" in str(failure)
        assert place.tags() == {}

    def test_one_stray_404_brings_nothing_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        place = self.place()
        registry = FakeRegistry(place.store)
        resolve, strays = registry.resolve, iter([None])

        def stray(reference: Reference) -> Digest | None:
            if reference.identifier == "latest" and "a" not in place.tags():
                return next(strays, resolve(reference))
            return resolve(reference)

        monkeypatch.setattr(registry, "resolve", stray)
        outcomes, failure = collect(Deleter(registry, place, place), plan(*self.steps))
        assert failure is None
        assert [each.action for each in outcomes] == [Action.DELETED] * 3
        assert place.tags() == {"latest": THREE}

    def test_whoever_sets_the_tag_meanwhile_keeps_it(self) -> None:
        place = self.place()
        self.at(place, ONE.short, "latest", to=ONE)
        restore = place.restore

        def publish(repository: Repository, digest: Digest) -> None:
            restore(repository, digest)
            place.put(INDEX, "latest")

        place.restore = publish  # type: ignore[method-assign]
        _, failure = collect(place.deleter(), plan(*self.steps))
        assert failure
        assert failure.kind is Kind.CONFLICT
        assert place.tags() == {"a": ONE, "b": ONE, "latest": INDEX}

    def test_who_pushes_the_image_anew_needs_no_help(self) -> None:
        place = self.place()
        registry = FakeRegistry(place.store)

        def push(call: Call) -> None:
            if call.method == "tags" and "a" not in place.tags():
                place.put(ONE, "latest")

        registry.before = push
        outcomes, failure = collect(Deleter(registry, place, place), plan(*self.steps))
        assert failure is None
        assert [each.action for each in outcomes] == [Action.DELETED] * 3
        assert place.tags() == {"latest": ONE}

    @pytest.mark.parametrize("order", [1, -1])
    def test_a_tag_that_was_to_go_and_holds_what_goes_too(self, order: int) -> None:
        place = self.place()
        place.put(TWO, "a", "b")
        outcomes, failure = collect(place.deleter(), plan(*self.steps[::order]))
        assert [each.action for each in outcomes] == [Action.KEPT] * 3
        assert failure
        assert failure.kind is Kind.CONFLICT
        assert place.tags() == {"a": TWO, "b": TWO, "c": TWO, "latest": THREE}

    @pytest.mark.parametrize("alone", [False, True])
    def test_a_tag_that_moves_on_while_its_image_goes(self, alone: bool) -> None:
        place = self.place()
        if alone:
            del place.store.tagged[SHOP.repository, Tag("b")]

        def move(call: Call) -> None:
            """Just before the first image is looked at, one of its tags gets the second."""
            if call.method == "resolve" and call.subject.endswith(":a") and len(asked) == 2:
                place.put(TWO, "a")
            asked.extend([call.subject] if call.subject.endswith(":a") else [])

        registry, asked = FakeRegistry(place.store), list[str]()
        registry.before = move
        _, failure = collect(Deleter(registry, place, place), plan(*self.steps))
        assert failure
        assert failure.kind is Kind.CONFLICT
        assert place.tags() == {"a": TWO, "c": TWO, "latest": THREE}

    def test_a_tag_that_is_new_and_then_moves_on(self) -> None:
        place = self.place()
        self.at(place, ONE.short, "production", to=THREE)

        def move(what: str) -> None:
            before(what)
            if what == TWO.short:
                place.put(TWO, "production")

        before, place.before = place.before, move
        _, failure = collect(place.deleter(), plan(*self.steps))
        assert failure
        assert failure.kind is Kind.CONFLICT
        assert place.tags() == {"c": TWO, "production": TWO, "latest": THREE}

    def test_what_does_not_stay_back_is_said(self) -> None:
        place = self.place()
        self.at(place, ONE.short, "latest", to=ONE)
        registry = FakeRegistry(place.store)

        def lose(call: Call) -> None:
            if call.method == "set_tag":
                place.store.tagged.pop((SHOP.repository, Tag(call.subject.rpartition(":")[2])))

        registry.after = lose
        with fails("ada/shop:latest was put back, but holds nothing", kind=Kind.UNVERIFIED):
            list(Deleter(registry, place, place).run(plan(*self.steps)))


def signature(digest: Digest, end: str = ".sig") -> str:
    return f"{str(digest).replace(':', '-')}{end}"


@pytest.mark.parametrize("by_tag", [True, False])
class TestWhatIsAboutImages:
    def test_it_goes_after_its_image(self, by_tag: bool) -> None:
        place = Place(by_tag=by_tag)
        place.put(ONE, "a")
        place.put(TWO, signature(ONE), signature(ONE, ".att"))
        place.put(THREE, "latest")
        steps = (going(signature(ONE), TWO), going("a", ONE), going(signature(ONE, ".att"), TWO))
        outcomes = list(place.deleter().run(plan(*steps, staying("latest", THREE))))
        assert next(each.reference.identifier for each in outcomes) == "a"
        assert place.tags() == {"latest": THREE}
        tags = [each for each in place.asked if "@" not in each]
        assert len(tags) == (3 if by_tag else 1), "what deletes no tag is asked once"

    def test_it_stays_with_an_image_that_came_to_be_needed(self, by_tag: bool) -> None:
        place = Place(by_tag=by_tag)
        place.put(ONE, "a", "production")
        place.put(TWO, signature(ONE))
        steps = plan(going("a", ONE), going(signature(ONE), TWO))
        outcomes, failure = collect(place.deleter(), steps)
        assert told(outcomes)[-1] == (
            "kept",
            signature(ONE),
            "another tag came to need its image meanwhile",
        )
        assert failure
        assert failure.kind is Kind.CONFLICT
        cause = (
            f"ada/shop:{signature(ONE)} stays: another tag now needs the image that it is about."
        )
        assert failure.problems[-1].cause == cause
        assert place.tags()[signature(ONE)] == TWO

    @pytest.mark.parametrize("now", [INDEX, ONE], ids=["what lists it", "itself"])
    def test_it_stays_with_an_image_that_its_own_tag_was_given(
        self, by_tag: bool, now: Digest
    ) -> None:
        place = Place(by_tag=by_tag, indexes={INDEX: frozenset({ONE})})
        place.put(ONE)
        place.put(now, "a")
        place.put(TWO, signature(ONE))
        place.put(THREE)
        steps = plan(going("a", THREE), going(signature(ONE), TWO))
        outcomes, failure = collect(place.deleter(), steps)
        assert [each.action for each in outcomes] == [Action.KEPT, Action.KEPT]
        assert failure
        assert place.tags() == {"a": now, signature(ONE): TWO}

    def test_others_are_not_looked_at_again(self, by_tag: bool) -> None:
        place = Place(by_tag=by_tag)
        place.put(ONE, "a")
        place.put(TWO, signature(ONE))
        place.put(THREE, "b", signature(THREE))
        registry = FakeRegistry(place.store)
        steps = (going("a", ONE), going(signature(ONE), TWO), staying(signature(THREE), THREE))
        list(Deleter(registry, place, place).run(plan(*steps, staying("b", THREE))))
        assert f"ada/shop:{signature(THREE)}" not in registry.subjects("resolve")


class TestProof:
    def test_what_was_deleted_is_gone(self) -> None:
        class Lying(Place):
            def delete_tag(self, repository: Repository, tag: Tag) -> Deleted:
                return Deleted.DONE

        place = Lying()
        tags = [f"t{number}" for number in range(7)]
        place.put(ONE, *tags)
        with fails("t4 and 2 more was deleted, but is still there", kind=Kind.UNVERIFIED):
            list(place.deleter().run(plan(*(going(tag, ONE) for tag in tags))))

    def test_what_was_to_stay_is_there(self) -> None:
        place = Place()
        place.put(ONE, "a")
        steps = (going("a", ONE), staying("latest", TWO), staying("odd", None))
        with fails("the image of ada/shop:latest is not on the registry", kind=Kind.UNVERIFIED):
            list(place.deleter().run(plan(*steps)))


@given(repositories(), st.booleans(), st.integers(0, 8))
def test_broken_off_anywhere_and_run_again_it_ends_the_same(
    given_: tuple[Any, Retention], by_tag: bool, calls: int
) -> None:
    catalog, policy = given_
    place = Place(by_tag=by_tag, indexes=dict(policy.parts))
    for each in catalog.entries:
        if each.digest:
            place.put(each.digest, str(each.tag))
    rulings = retention.judge(catalog, policy)
    needed = retention.needs(rulings, policy)
    wanted = plan(*retention.steps(catalog, rulings, needed))
    kept = {
        each.reference.identifier: each.current
        for each in wanted.steps
        if isinstance(each, KeepTag)
    }
    numbers = itertools.count()

    def die(_: str) -> None:
        if next(numbers) == calls:
            raise KeyboardInterrupt

    place.before = die
    for _ in range(2):
        try:
            outcomes, failure = collect(place.deleter(), wanted)
            assert failure is None
            done = {each.reference.identifier for each in outcomes}
            assert done == {
                s.reference.identifier for s in wanted.steps if isinstance(s, DeleteTag)
            }
        except KeyboardInterrupt:
            continue
    left = place.tags()
    assert {tag: left.get(tag) for tag in kept} == kept
    held = {each for each in kept.values() if each}
    assert held <= {digest for _, digest in place.store.images}
    beyond = left.keys() - kept.keys()
    assert {left[each] for each in beyond} <= (set() if by_tag else needed.keys())
