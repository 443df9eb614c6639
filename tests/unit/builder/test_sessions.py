"""Which sessions a build takes, and who is blamed: with a builder that follows a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from support.memory import FakeLog

from feastflow_registry.builder.diagnosis import Fault
from feastflow_registry.builder.sessions import Ended, Sessions
from feastflow_registry.model.errors import Failure, Kind

STEP = 'process "x" did not complete successfully: exit code: 3'
TORN = "failed to commit x to y during finalize: snapshot x does not exist: not found"
PUSH = "failed to push r/a: unexpected EOF"
GONE = "failed to copy: httpReadSeeker: failed open: could not fetch content descriptor: not found"
CHANGED = 'failed commit on ref "layer-sha256:1": unexpected commit digest sha256:2'
DOWN = "failed to copy: httpReadSeeker: unexpected status from GET request: 503 Unavailable"
ALWAYS = 99


@dataclass
class Script:
    """``errors``: of each target, and how often; ``together``: how often a joint session fails.

    ``reported``: the targets in which a joint session reports an error.
    """

    errors: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    together: int = 0
    reported: Sequence[str] = ()
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    mends: bool = False
    importing: Sequence[str] = ()
    ran: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)

    def run(self, targets: Sequence[str], *, alone: bool, no_cache: bool = False) -> Ended:
        assert not alone or len(targets) == 1
        number = len(self.ran)
        self.ran.append(" ".join(targets) + ("" if alone else "…") + " uncached" * no_cache)
        involved = {each for target in targets for each in (target, *self.needs.get(target, ()))}
        for target, (error, times) in self.errors.items():
            tried = sum(each.split()[0] == target for each in self.ran)
            if (
                target in involved
                and (not alone or tried <= times)
                and not (no_cache and self.mends)
            ):
                return Ended(fault=Fault(error if alone else TORN), suspects=self.reported)
        if not alone and number < self.together:
            return Ended(fault=Fault(TORN), suspects=self.reported)
        return Ended({target: {"digest": f"{target} {number}"} for target in involved})

    def build(self, *targets: str) -> Sessions:
        sessions = Sessions(
            self.run,
            self.finished.extend,
            FakeLog(),
            self.slept.append,
            {each: each.upper() for each in "abcdefxy"},
            {target: self.needs.get(target, ()) for target in targets},
            self.importing,
        )
        sessions.build()
        assert {*sessions.built, *sessions.failures} >= set(targets)
        assert not {*sessions.built} & {*sessions.failures}
        return sessions


def test_what_does_not_fail_is_built_in_one_session() -> None:
    for script, targets in (
        (Script(), ["a", "b"]),
        (Script(needs={"a": ["x"]}), ["a"]),
    ):
        sessions = script.build(*targets)
        assert script.ran == [f"{' '.join(targets)}…"]
        assert sessions.built == {each: {"digest": f"{each} 0"} for each in targets}
    alone = Script()
    alone.build("a")
    assert alone.ran == ["a"]


def test_the_one_that_fails_in_its_own_session_is_to_blame() -> None:
    script = Script({"c": (STEP, ALWAYS)}, reported=["c"])
    sessions = script.build(*"abcdef")
    assert script.ran == ["a b c d e f…", "c", "a b d e f…"]
    assert str(sessions.failures["c"]).startswith("the build of C failed: ")
    assert sessions.failures.keys() == {"c"}
    assert script.finished == ["c"]
    assert script.slept == []
    said = [text for _, text in sessions.log.lines]  # type: ignore[attr-defined]
    assert said == [
        "the build failed, building C alone",
        "C failed, going on with the others",
    ]


@pytest.mark.parametrize("reported", [(), ("",), ("a", "b", "d")])
def test_whoever_is_reported_only_the_failing_one_is_blamed(reported: Sequence[str]) -> None:
    script = Script({"c": (STEP, ALWAYS)}, reported=reported)
    sessions = script.build(*"abcd")
    assert sessions.failures.keys() == {"c"}
    assert sessions.built.keys() == {"a", "b", "d"}


def test_several_that_fail_are_all_blamed() -> None:
    script = Script({"a": (STEP, ALWAYS), "c": (STEP, ALWAYS)}, reported=["a", "c"])
    assert script.build(*"abc").failures.keys() == {"a", "c"}
    assert script.ran == ["a b c…", "a", "c", "b"]


def test_the_last_build_of_an_image_counts() -> None:
    script = Script(together=1, reported=["a"])
    sessions = script.build("a", "b")
    assert sessions.built == {"a": {"digest": "a 1"}, "b": {"digest": "b 2"}}
    linked = Script(together=1, reported=["x"], needs={"a": ["x"]})
    assert linked.build("x", "a", "b").built["x"] == {"digest": "x 1"}


def test_what_is_built_from_a_failed_one_is_not_built() -> None:
    needs = {"a": ["x", "y"], "y": ["x"]}
    script = Script({"x": (STEP, ALWAYS)}, reported=["x"], needs=needs)
    sessions = script.build("y", "a", "c")
    assert script.ran[:2] == ["y a c…", "x"]
    assert str(sessions.failures["a"]).startswith("A is built from X, and the build of X failed")
    assert str(sessions.failures["y"]).startswith("Y is built from X, and the build of X failed")
    assert sessions.built.keys() == {"c"}


def test_what_others_are_built_from_is_built_before_them() -> None:
    script = Script({"a": (STEP, ALWAYS)}, reported=["a"], needs={"a": ["x", "y"]})
    assert script.build("a").failures.keys() == {"a"}
    assert script.ran == ["a…", "x", "y", "a"]


@pytest.mark.parametrize("error", [TORN, PUSH])
def test_what_may_pass_is_built_again_after_a_while(error: str) -> None:
    script = Script({"b": (error, 1)}, reported=["b"])
    assert not script.build("a", "b").failures
    assert script.ran == ["a b…", "b", "b", "a"]
    assert script.slept == [1.0]


@pytest.mark.parametrize("mends", [True, False])
def test_a_cache_that_stays_torn_is_not_used_in_the_end(mends: bool) -> None:
    script = Script({"b": (TORN, ALWAYS)}, reported=["b"], mends=mends)
    sessions = script.build("a", "b")
    uncached = ["b uncached"] if mends else ["b uncached"] * 2
    assert script.ran == ["a b…", "b", "b", *uncached, "a"]
    assert sessions.failures.keys() == (set() if mends else {"b"})
    assert "a" in sessions.built


@pytest.mark.parametrize(
    ("error", "kind", "sessions"),
    [
        ("denied: no", Kind.REFUSED, 2),
        (PUSH, Kind.UNREACHABLE, 5),
        ("code = Unavailable", Kind.BUILD, 2),
    ],
)
def test_what_is_no_services_fault_is_raised(error: str, kind: Kind, sessions: int) -> None:
    script = Script({"b": (error, ALWAYS)}, reported=["b"])
    with pytest.raises(Failure, match=error) as caught:
        script.build("a", "b")
    assert caught.value.kind is kind
    assert len(script.ran) == sessions


@pytest.mark.parametrize("error", [GONE, CHANGED, DOWN])
def test_what_a_cache_broke_is_built_without_it(error: str) -> None:
    script = Script({"b": (error, ALWAYS)}, reported=["b"], mends=True, importing=["a", "b"])
    sessions = script.build("a", "b")
    assert script.ran == ["a b…", "b", "b uncached", "a"]
    assert (sessions.broken, sessions.failures) == ({"b": error}, {})
    assert "a cache failed for a moment, building again without the cache" in [
        text
        for _, text in sessions.log.lines  # type: ignore[attr-defined]
    ]


@pytest.mark.parametrize(
    ("error", "runs"),
    [(GONE, 1), (CHANGED, 1), (DOWN, 4), (f"{STEP}: {GONE}", 1), (f"failed to push: {GONE}", 4)],
)
def test_no_cache_is_blamed_where_none_is_read(error: str, runs: int) -> None:
    script = Script({"a": (error, ALWAYS)}, importing=["b"])
    if "failed to push" in error:
        script.importing = ["a"]
        with pytest.raises(Failure):
            script.build("a")
    else:
        assert not script.build("a").broken
    assert script.ran == ["a"] * runs


def test_what_fails_without_the_cache_too_has_failed() -> None:
    script = Script({"a": (GONE, ALWAYS)}, importing=["a"])
    assert "not found" in str(script.build("a").failures["a"])
    assert script.ran == ["a", *["a uncached"] * 3]
