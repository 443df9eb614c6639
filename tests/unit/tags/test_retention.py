from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.memory import digest_of
from support.runs import SHOP, A, B, C, D, commit

from feastflow_registry.config.selectors import kept
from feastflow_registry.model.images import ImmutableTags, ListedTag
from feastflow_registry.model.plan import DeleteTag, KeepTag
from feastflow_registry.model.references import Digest, Tag
from feastflow_registry.model.tag_names import subject
from feastflow_registry.tags import retention
from feastflow_registry.tags.catalog import Catalog, compile_catalog
from feastflow_registry.tags.retention import KEEP, UNDATED, UNDATED_MARK, Retention, judge
from unit.tags.test_catalog import HISTORY, ONE, START, THREE, TWO, listed, own

NAMED = f"{KEEP} names it"
NOW = START + timedelta(days=1000)


def rules(**changes: Any) -> Retention:
    return replace(Retention(NOW, days=90, last=1), **changes)


def stock(*tags: tuple[str, Digest | None, int]) -> Catalog:
    """Tags with their images, and how many days old they are."""
    found = [
        ListedTag(Tag(name), digest, pushed=NOW - timedelta(days=age)) for name, digest, age in tags
    ]
    return compile_catalog(SHOP, found, HISTORY)


def fates(catalog: Catalog, wanted: Retention) -> dict[str, str]:
    """Why each tag stays; nothing for those that go."""
    found = judge(catalog, wanted)
    return {each.entry.tag.value: each.reason if each.kept else "" for each in found}


OLD = stock((own(D), digest_of("new"), 1), (own(A), ONE, 400))
"""One tag that is among the newest, and one that may go."""


class TestCommitTags:
    def test_one_that_is_old_goes(self) -> None:
        assert [(each.kept, each.reason) for each in judge(OLD, rules())] == [
            (True, 'it is among the newest 1 (the input "keep-last")'),
            (False, "400 days old"),
        ]

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"last": 2}, 'it is among the newest 2 (the input "keep-last")'),
            ({"days": 401}, 'it is younger than 401 days (the input "keep-days")'),
            ({"days": 400}, ""),
            ({"days": 0}, ""),
            ({"patterns": ("commit-*",)}, NAMED),
            ({"patterns": ("*", f"!{own(A)}")}, ""),
            ({"named": {Tag(own(A)): "k8s/web.yaml"}}, "k8s/web.yaml names it"),
            (
                {"named": {Tag(own(A)): "k8s/web.yaml"}, "patterns": ("commit-*",)},
                "k8s/web.yaml names it",
            ),
            ({"named": {Tag(f"commit-{A.sha}"): KEEP}}, NAMED),
            ({"named": {Tag(f"commit-{A.sha[:4]}"): KEEP}}, NAMED),
            ({"named": {Tag("commit"): KEEP, Tag("commit-x"): KEEP}}, ""),
            ({"named": {ONE: KEEP}}, NAMED),
            ({"named": {TWO: KEEP, Tag(own(B)): KEEP}}, ""),
            ({"named": {TWO: KEEP}, "parts": {ONE: frozenset({TWO})}}, NAMED),
            (
                {"immutable": ImmutableTags(enabled=True, rules=("commit-.*",))},
                "it is immutable on Docker Hub by the rule 'commit-.*'",
            ),
            ({"immutable": ImmutableTags(enabled=True, rules=("v.*",))}, ""),
        ],
    )
    def test_why_it_stays(self, changes: Mapping[str, Any], reason: str) -> None:
        assert fates(OLD, rules(**changes))[own(A)] == reason

    @pytest.mark.parametrize("holder", ["latest", "sprint3", "v1.0.0", "frozen-sprint3", "odd"])
    def test_one_whose_image_another_tag_holds(self, holder: str) -> None:
        found = fates(stock((own(D), TWO, 1), (own(A), ONE, 400), (holder, ONE, 400)), rules())
        assert found[own(A)] == f"{holder} holds the same image"
        assert found[holder] == "only commit tags are ever deleted"

    @pytest.mark.parametrize("age", [200, 400])
    def test_latest_is_named_first(self, age: int) -> None:
        found = stock((own(A), ONE, 400), ("a", ONE, 300), ("latest", ONE, age))
        assert fates(found, rules(last=0))[own(A)] == "latest holds the same image"

    def test_one_that_shares_its_image_with_another_commit_goes(self) -> None:
        found = fates(stock((own(B), ONE, 1), (own(A), ONE, 400)), rules())
        assert found == {own(B): 'it is among the newest 1 (the input "keep-last")', own(A): ""}

    def test_one_that_could_not_be_read(self) -> None:
        found = fates(stock((own(D), TWO, 1), (own(A), None, 400)), rules())
        assert found[own(A)] == "what it holds could not be read"

    @pytest.mark.parametrize("age", [0, -0.001])
    def test_with_no_days_to_wait_for_nothing_is_young(self, age: float) -> None:
        found = stock((own(D), TWO, age), (own(A), ONE, age))  # type: ignore[arg-type]
        assert list(fates(found, rules(days=0)).values()).count("") == 1
        assert all(fates(found, rules(days=1)).values())

    def test_age_is_counted_in_whole_days(self) -> None:
        (found,) = judge(stock((own(A), ONE, 1)), rules(last=0, days=1))
        assert (found.kept, found.reason) == (False, "1 day old")


PART, OTHER_PART = f"{own(A)}.linux-amd64", f"{own(A)}.linux-arm64"


class TestParts:
    def test_they_go_as_soon_as_their_image_is_put_together(self) -> None:
        found = stock((own(A), ONE, 0), (PART, TWO, 0), (OTHER_PART, THREE, 0))
        rulings = judge(found, rules())
        told = [(each.kept, each.reason, each.dated) for each in rulings if each.entry.is_part]
        assert told == [(False, "its image is put together", "")] * 2
        needed = retention.needs(rulings, rules(parts={ONE: frozenset({TWO})}))
        steps = retention.steps(found, rulings, needed)
        assert {each.tag.value: each.needed for each in steps if isinstance(each, DeleteTag)} == {
            PART: Tag(own(A)),
            OTHER_PART: None,
        }

    @pytest.mark.parametrize(
        ("age", "reason"), [(10, 'it is younger than 90 days (the input "keep-days")'), (91, "")]
    )
    def test_without_an_image_they_wait_for_it(self, age: int, reason: str) -> None:
        found = fates(stock((own(D), ONE, 1), (PART, TWO, age)), rules())
        assert found[PART] == reason

    def test_they_are_none_of_the_newest_commits(self) -> None:
        found = fates(stock((PART, TWO, 95), (own(D), ONE, 100)), rules())
        assert found == {PART: "", own(D): 'it is among the newest 1 (the input "keep-last")'}

    @pytest.mark.parametrize("tags", [(PART,), (own(A), PART)])
    def test_what_is_used_stays(self, tags: tuple[str, ...]) -> None:
        found = stock(*((tag, digest_of(tag), 400) for tag in tags))
        for named in (Tag(PART), digest_of(PART)):
            kept = fates(found, rules(last=0, named={named: "k8s/web.yaml"}))
            assert kept[PART] == "k8s/web.yaml names it"
        assert fates(found, rules(patterns=("*.linux-amd64",)))[PART] == NAMED

    def test_what_names_their_commit_names_none_of_them(self) -> None:
        found = stock((own(A), ONE, 400), (PART, TWO, 400))
        named = {Tag(f"commit-{A.sha[:5]}"): "k8s/web.yaml"}
        kept = fates(found, rules(last=0, named=named))
        assert kept == {own(A): "k8s/web.yaml names it", PART: ""}

    def test_one_that_stays_keeps_no_mark(self) -> None:
        mark = f"withdrawn-{A.short}"
        found = fates(stock((PART, TWO, 1), (mark, ONE, 400), (own(D), THREE, 1)), rules())
        assert (bool(found[PART]), found[mark]) == (True, "")

    def test_the_age_of_one_is_its_commits_where_the_registry_tells_none(self) -> None:
        found = compile_catalog(SHOP, listed((PART, ONE), (own(D), TWO)), HISTORY)
        rulings = judge(found, rules())
        assert {each.entry.tag.value: each.reason for each in rulings}[PART] == "1003 days old"
        assert retention.unpushed(rulings) == {ONE}
        later = rules(created={ONE: NOW - timedelta(days=1)})
        assert fates(found, later)[PART] == 'it is younger than 90 days (the input "keep-days")'
        unknown = compile_catalog(SHOP, listed((PART, ONE)), {})
        assert fates(unknown, rules())[PART] == UNDATED

    def test_they_go_after_images_and_before_marks(self) -> None:
        mark = f"withdrawn-{A.short}"
        found = stock((mark, ONE, 400), (PART, TWO, 500), (own(A), ONE, 400), (own(D), THREE, 1))
        steps = retention.steps(found, judge(found, rules()), {})
        going = [each.tag.value for each in steps if isinstance(each, DeleteTag)]
        assert going == [own(A), PART, mark]


class TestAge:
    """Where the registry does not tell when a tag was pushed."""

    def test_that_of_the_commit(self) -> None:
        found = compile_catalog(SHOP, listed((own(A), ONE), (own(D), TWO)), HISTORY)
        assert judge(found, rules())[1].reason == "1003 days old"

    @pytest.mark.parametrize(("made", "age"), [(500, 500), (1500, 1003), (None, 1003)])
    def test_that_of_the_image_where_it_was_made_later(self, made: int | None, age: int) -> None:
        found = compile_catalog(SHOP, listed((own(A), ONE), (own(D), TWO)), HISTORY)
        created = {ONE: NOW - timedelta(days=made)} if made else {}
        assert judge(found, rules(last=0, created=created))[1].reason == f"{age} days old"
        assert retention.unpushed(judge(found, rules())) == {ONE}
        assert retention.unpushed(judge(OLD, rules())) == set()

    def test_none_where_the_commit_is_not_known(self) -> None:
        found = compile_catalog(SHOP, listed((own(A), ONE), (own(B), TWO), (own(C), TWO)), {})
        first = judge(found, rules(last=0, created={ONE: START}))
        assert {each.reason for each in first} == {UNDATED}
        assert retention.unpushed(first) == set()

    def test_of_one_moment_history_tells_which_is_newer(self) -> None:
        made = dict.fromkeys([ONE, TWO, THREE], NOW - timedelta(days=400))
        tags = listed((own(C), THREE), (own(A), ONE), (own(B), TWO))
        found = compile_catalog(SHOP, tags, HISTORY)
        stays = [tag for tag, why in fates(found, rules(last=1, created=made)).items() if why]
        assert stays == [own(C)]

    def test_one_that_is_not_known_is_none_of_the_newest(self) -> None:
        found = compile_catalog(
            SHOP, listed((own(A), ONE), (own(B), TWO), (own(C), THREE)), {A.short: HISTORY[A.short]}
        )
        assert fates(found, rules()) == {
            own(A): 'it is among the newest 1 (the input "keep-last")',
            own(B): UNDATED,
            own(C): UNDATED,
        }

    def test_a_marker_may_be_younger_than_its_commit(self) -> None:
        marker = f"withdrawn-{A.short}"
        found = compile_catalog(SHOP, listed((own(A), ONE), (marker, ONE)), HISTORY)
        assert fates(found, rules(last=0)) == {
            marker: UNDATED_MARK,
            own(A): f"{marker} is kept, which marks its image",
        }
        assert retention.unpushed(judge(found, rules(last=0))) == set()

    def test_the_newest_are_those_that_were_made_last(self) -> None:
        found = compile_catalog(SHOP, listed((own(A), ONE), (own(B), TWO)), HISTORY)
        made = {ONE: NOW - timedelta(days=200), TWO: NOW - timedelta(days=300)}
        kept = fates(found, rules(created=made))
        assert kept == {own(A): 'it is among the newest 1 (the input "keep-last")', own(B): ""}

    def test_that_of_what_goes_for_another_reason_is_not_asked(self) -> None:
        found = compile_catalog(SHOP, listed((own(A), ONE), (PART, TWO)), HISTORY)
        assert retention.unpushed(judge(found, rules())) == frozenset()


class TestTheDateThatDecided:
    def test_a_push(self) -> None:
        (_, ruling) = judge(OLD, rules())
        assert ruling.dated == f"pushed {NOW - timedelta(days=400):%Y-%m-%d}"
        deletion, _ = retention.steps(OLD, judge(OLD, rules()), {})
        assert isinstance(deletion, DeleteTag)
        assert deletion.dated == ruling.dated

    @pytest.mark.parametrize(
        ("made", "what"), [(None, "committed"), (-400, "committed"), (40, "made")]
    )
    def test_without_one_the_commit_or_the_image(self, made: int | None, what: str) -> None:
        catalog = compile_catalog(SHOP, listed((own(A), ONE)), HISTORY)
        created = {ONE: START + timedelta(days=made)} if made is not None else {}
        (ruling,) = judge(catalog, rules(created=created, last=0))
        at = START + timedelta(days=40) if what == "made" else HISTORY[A.short].committed
        assert ruling.dated == f"{what} {at:%Y-%m-%d}"

    @pytest.mark.parametrize("name", [f"sha256-{ONE.value[7:]}.sig", "commit-1234567"])
    def test_of_what_has_no_age_of_its_own(self, name: str) -> None:
        (ruling,) = judge(compile_catalog(SHOP, listed((name, TWO)), HISTORY), rules(last=0))
        assert ruling.dated == ""

    def test_of_what_is_about_an_image_though_it_was_pushed(self) -> None:
        (ruling,) = judge(stock((f"sha256-{ONE.value[7:]}.sig", TWO, 400)), rules(last=0))
        assert ruling.dated == ""


class TestMarkers:
    MARKER = f"withdrawn-{A.short}"

    def test_one_that_is_young_keeps_its_image(self) -> None:
        found = stock((own(D), TWO, 1), (own(A), ONE, 400), (self.MARKER, ONE, 3))
        assert fates(found, rules()) == {
            own(D): 'it is among the newest 1 (the input "keep-last")',
            self.MARKER: 'it is younger than 90 days (the input "keep-days")',
            own(A): f"{self.MARKER} is kept, which marks its image",
        }

    @pytest.mark.parametrize("age", [399, 401])
    def test_one_that_is_old_goes_after_its_commit(self, age: int) -> None:
        found = stock((own(D), TWO, 1), (own(A), ONE, 400), (self.MARKER, ONE, age))
        assert fates(found, rules())[own(A)] == fates(found, rules())[self.MARKER] == ""
        steps = retention.steps(found, judge(found, rules()), {})
        assert [each.reference.identifier for each in steps] == [own(A), self.MARKER, own(D)]
        assert [type(each) for each in steps] == [DeleteTag, DeleteTag, KeepTag]

    @pytest.mark.parametrize("digest", [ONE, TWO])
    def test_one_whose_commit_stays(self, digest: Digest) -> None:
        found = stock((own(A), ONE, 1), (self.MARKER, digest, 400), (own(C), TWO, 400))
        assert fates(found, rules())[self.MARKER] == "the commit that it marks is kept"
        # What a kept marker holds is kept, and so on.
        stays = digest is TWO
        assert bool(fates(found, rules())[own(C)]) is stays

    def test_one_whose_image_another_commit_carries(self) -> None:
        found = stock((own(D), ONE, 1), (self.MARKER, ONE, 400), (own(A), ONE, 400))
        assert fates(found, rules())[self.MARKER] == "the commit that it marks is kept"

    def test_one_keeps_no_other_of_its_image(self) -> None:
        marks = [f"withdrawn-{each.short}" for each in (A, B)]
        found = fates(stock((own(D), TWO, 1), (marks[0], ONE, 1), (marks[1], ONE, 400)), rules())
        assert (bool(found[marks[0]]), found[marks[1]]) == (True, "")

    def test_latest_does_not_keep_a_marker_of_nothing(self) -> None:
        found = stock(("latest", ONE, 1), (self.MARKER, ONE, 400))
        assert fates(found, rules())[self.MARKER] == ""


class TestSteps:
    def test_the_oldest_goes_first(self) -> None:
        found = stock((own(A), ONE, 300), (own(B), TWO, 500), (own(C), THREE, 1))
        steps = retention.steps(found, judge(found, rules()), {})
        assert [(type(each), each.reference.identifier) for each in steps] == [
            (DeleteTag, own(B)),
            (DeleteTag, own(A)),
            (KeepTag, own(C)),
        ]
        assert isinstance(steps[0], DeleteTag)
        assert (steps[0].digest, steps[0].reason) == (TWO, "500 days old")
        assert retention.going(judge(found, rules())) == {ONE, TWO}

    def test_what_a_kept_tag_needs_is_said(self) -> None:
        found = stock(
            (own(A), ONE, 300), (own(B), TWO, 300), (own(C), THREE, 300), (own(D), ONE, 1)
        )
        wanted = rules(parts={ONE: frozenset({TWO})})
        rulings = judge(found, wanted)
        steps = retention.steps(found, rulings, retention.needs(rulings, wanted))
        needed = {each.tag.value: each.needed for each in steps if isinstance(each, DeleteTag)}
        assert needed == {own(A): Tag(own(D)), own(B): Tag(own(D)), own(C): None}


class TestWhatIsAboutImages:
    """Signatures, SBOMs, attestations and lists of them, by the tags that their makers give them.

    dataaxiom/ghcr-cleanup-action#104: those of platforms of kept images were deleted.
    """

    SBOM, OTHER = digest_of("an SBOM"), digest_of("a signature")

    def about(self, digest: Digest, end: str = ".sig") -> str:
        return f"{str(digest).replace(':', '-')}{end}"

    @pytest.mark.parametrize("end", ["", ".sig", ".att", ".sbom", ".d34db33f.sig", "-cosign"])
    @pytest.mark.parametrize("age", [1, 500])
    def test_they_go_and_stay_with_their_image(self, end: str, age: int) -> None:
        found = stock(
            *((own(D), TWO, 1), (own(A), ONE, 400)),
            *((self.about(ONE, end), THREE, age), (self.about(TWO, end), self.SBOM, age)),
        )
        rulings = judge(found, rules())
        said = {each.entry.tag.value: (each.kept, each.reason) for each in rulings}
        assert said[self.about(ONE, end)] == (False, "it goes with its image")
        assert said[self.about(TWO, end)] == (True, f"{own(D)} is kept, and it is about its image")
        steps = retention.steps(found, rulings, {})
        assert [each.tag.value for each in steps][:2] == [own(A), self.about(ONE, end)]

    def test_that_of_a_platform(self) -> None:
        parts = {ONE: frozenset({THREE}), TWO: frozenset({self.OTHER})}
        found = stock(
            *((own(D), TWO, 1), (own(A), ONE, 400)),
            *((self.about(THREE), self.SBOM, 1), (self.about(self.OTHER), self.SBOM, 400)),
        )
        said = fates(found, rules(parts=parts))
        assert said[self.about(THREE)] == ""
        assert said[self.about(self.OTHER)] == f"{own(D)} is kept, and it is about its image"

    def test_that_of_an_sbom(self) -> None:
        found = stock(
            *((own(D), TWO, 1), (own(A), ONE, 400), (self.about(ONE, ".sbom"), self.SBOM, 400)),
            *((self.about(TWO, ".sbom"), self.OTHER, 400), (self.about(self.SBOM), THREE, 1)),
            (self.about(self.OTHER), THREE, 400),
        )
        said = fates(found, rules())
        assert said[self.about(self.SBOM)] == ""
        assert said[self.about(self.OTHER)].startswith("sha256-")

    def test_one_whose_image_has_no_tag_stays_until_it_is_gone(self) -> None:
        found = stock((self.about(ONE), TWO, 400))
        assert fates(found, rules())[self.about(ONE)] == "it is about an image without a tag"
        (gone,) = judge(found, rules(absent=frozenset({ONE})))
        assert (gone.kept, gone.reason) == (False, "its image is not there any more")

    def test_a_kept_tag_that_could_not_be_read_keeps_nothing_else(self) -> None:
        found = stock((own(D), TWO, 1), (own(A), ONE, 400), ("sprint3", None, 400))
        assert fates(found, rules())[own(A)] == ""

    def test_it_keeps_no_image(self) -> None:
        found = stock((own(D), TWO, 1), (own(A), ONE, 400), (self.about(ONE), ONE, 1))
        assert fates(found, rules())[own(A)] == ""

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"patterns": ("sha256-*",)}, NAMED),
            ({"named": {THREE: "a.yaml:1"}}, "a.yaml:1 names it"),
        ],
    )
    def test_one_that_is_named_stays(self, changes: Mapping[str, Any], reason: str) -> None:
        found = stock((own(D), TWO, 1), (own(A), ONE, 400), (self.about(ONE), THREE, 400))
        assert fates(found, rules(**changes))[self.about(ONE)] == reason

    @pytest.mark.parametrize("name", ["sha256-0123", f"sha256-{'0' * 64}x", f"sha1-{'0' * 64}"])
    def test_what_only_looks_so_stays(self, name: str) -> None:
        assert fates(stock((name, ONE, 400)), rules())[name] == "only commit tags are ever deleted"


class TestKeep:
    @pytest.mark.parametrize(
        ("item", "found"),
        [
            (str(ONE), {ONE}),
            (f"ada/shop@{ONE}", {ONE}),
            (f"ada/pricing@{ONE}", {ONE}),
            (f"shop@{ONE}", {ONE}),
            ("ada/shop:v1", {Tag("v1")}),
            (f"docker.io/ada/shop:v1@{ONE}", {Tag("v1"), ONE}),
            ("ada/pricing:v1", set()),
            ("localhost:5000/ada/shop:v1", set()),
            ("v*", set()),
        ],
    )
    def test_what_an_item_names(self, item: str, found: set[Tag | Digest]) -> None:
        assert set(kept(item).targets(SHOP.repository, ())) == found

    def test_which_items_are_patterns(self) -> None:
        texts = [str(ONE), f"a@{ONE}", "ada/shop:v1", "v*", "!v2", "sprint3", "0123abc"]
        items = list(map(kept, texts))
        assert retention.patterns(items) == ("v*", "!v2", "sprint3")

    @pytest.mark.parametrize(
        ("item", "there"),
        [
            *((own(A), True), (A.sha, True), (A.sha[:4], True), (own(B), False)),
            *(("commit-*", True), ("v*", False), ("!v*", True), ("odd", False), ("1234", True)),
            *((str(ONE), True), (str(TWO), False), (f"shop:commit-{A.sha}", True)),
            *(("shop:1234", True), ("shop:v1", False), ("pricing:1234", False)),
        ],
    )
    def test_whether_an_item_names_anything(self, item: str, there: bool) -> None:
        catalog = compile_catalog(SHOP, listed((own(A), ONE), ("1234", ONE)), HISTORY)
        assert retention.reaches(kept(item), catalog) is there


COMMITS = [commit(0x10 + number) for number in range(8)]
DIGESTS = [digest_of(str(number)) for number in range(5)]
NAMES = [
    *(own(each) for each in COMMITS),
    *(f"withdrawn-{each.short}" for each in COMMITS[:3]),
    *("latest", "sprint3", "frozen-sprint3", "buildcache", "buildcache-linux-arm64", "commit-odd"),
    *(f"sha256-{str(each)[7:]}.sig" for each in DIGESTS[:3]),
]


@st.composite
def repositories(draw: st.DrawFn) -> tuple[Catalog, Retention]:
    """Any tags on five images, of which none is its own signature, and any policy."""
    ages = st.none() | st.integers(-1, 300)
    tags = [
        ListedTag(Tag(name), digest, pushed=None if age is None else NOW - timedelta(days=age))
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True))
        for digest, age in [draw(st.tuples(st.sampled_from([*DIGESTS, None]), ages))]
        if digest is None or subject(Tag(name)) != digest
    ]
    used: Sequence[Tag | Digest] = [*DIGESTS, *map(Tag, NAMES)]
    policy = rules(
        days=draw(st.integers(1, 200)),
        last=draw(st.integers(1, 5)),
        patterns=tuple(draw(st.lists(st.sampled_from(["commit-*", own(COMMITS[0])]), max_size=1))),
        named=dict.fromkeys(draw(st.lists(st.sampled_from(used), max_size=3)), KEEP),
        created={each: NOW - timedelta(days=draw(st.integers(0, 300))) for each in DIGESTS[:2]},
        parts=draw(st.sampled_from([{}, {DIGESTS[0]: frozenset(DIGESTS[1:3])}])),
        absent=frozenset(draw(st.lists(st.sampled_from(DIGESTS), max_size=1))),
    )
    return compile_catalog(SHOP, tags, {}), policy


@given(repositories())
def test_what_is_in_use_never_goes(given_: tuple[Catalog, Retention]) -> None:
    catalog, policy = given_
    rulings = judge(catalog, policy)
    assert [each.entry for each in rulings] == list(catalog.entries)
    assert all(each.reason for each in rulings)
    stays = {each.entry.tag: each.entry for each in rulings if each.kept}
    held = {each.digest for each in stays.values() if not each.is_commit and not each.subject}
    needed = retention.needs(rulings, policy)
    for gone in (each.entry for each in rulings if not each.kept):
        age = policy.age(gone)
        assert gone.tag not in policy.named
        assert gone.digest
        if gone.subject:
            assert gone.subject not in needed
            continue
        assert gone.is_commit or gone.is_marker
        assert age is not None
        assert age >= timedelta(days=policy.days)
        assert gone.digest not in policy.named
        if gone.is_commit:
            assert gone.digest not in held
            ages = [policy.age(each) for each in stays.values() if each.is_commit]
            younger = [each for each in ages if each is not None and each <= age]
            assert len(younger) >= policy.last
        else:
            kept = [each for each in stays.values() if each.is_commit]
            assert gone.digits not in {each.digits for each in kept}
            assert gone.digest not in {each.digest for each in kept}
