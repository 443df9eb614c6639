"""What is said of the caches of a build, from what BuildKit says of them."""

from __future__ import annotations

import pytest
from support.build_sessions import Session

REF = "r:5000/ada/shop:buildcache"
IMPORT = f"importing cache manifest from {REF}"
EXPORT = "exporting cache to registry"
NO_CACHE = "failed to configure registry cache importer: "
SOURCES, TARGETS = (f"type=registry,ref={REF}",), (f"type=registry,ref={REF},mode=max",)
GONE = (
    "failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:1 from "
    "remote: not found"
)


def steps(session: Session, there: int, of: int = 3) -> Session:
    for number in range(1, of + 1):
        session.done(f"[{number}/{of}] RUN {number}", cached=number <= there)
    return session


def told(session: Session) -> str:
    return session.build.caches["app"].tell(SOURCES, TARGETS[:0])


def written(session: Session, *targets: str) -> str:
    return session.build.caches["app"].tell((), targets or TARGETS)


def test_nothing_is_said_where_there_is_no_cache() -> None:
    app = steps(Session("app").done(IMPORT), 3)
    assert app.build.caches["app"].tell((), ()) == ""


@pytest.mark.parametrize(
    ("error", "there", "said"),
    [
        ("", 2, "2 of 3 steps were there"),
        ("", 0, "0 of 3 steps were there"),
        (f"{NO_CACHE}{REF}: not found", 0, "nothing found (first run?)"),
        (f"{NO_CACHE}{REF}: not found", 1, "1 of 3 steps were there"),
        (f"{NO_CACHE}status: 401 Unauthorized", 0, "not read: status: 401 Unauthorized"),
        (
            f"{NO_CACHE}status: 503\nunavailable",
            1,
            "1 of 3 steps were there, not read: status: 503 unavailable",
        ),
        ("unexpected EOF", 0, "not read: unexpected EOF"),
        (GONE, 0, f"not read: {GONE}"),
    ],
)
def test_what_was_read(error: str, there: int, said: str) -> None:
    assert told(steps(Session("app").done(IMPORT, error=error), there)) == said


def test_of_two_caches_one_is_enough() -> None:
    app = Session("app").done(f"{IMPORT}-linux-arm64", error=f"{NO_CACHE}x: not found")
    assert told(steps(app.done(IMPORT), 0)) == "0 of 3 steps were there"
    other = Session("app").done(IMPORT, error="down").done(f"{IMPORT}2", error="down")
    assert told(steps(other, 0)) == "not read: down"


def test_a_cache_of_which_nothing_is_heard() -> None:
    assert told(steps(Session("app"), 0)) == "nothing found (first run?)"
    assert told(steps(Session("app"), 3)) == "3 of 3 steps were there"


def test_base_images_and_what_is_internal_are_no_steps() -> None:
    app = Session("app").done(IMPORT, "[1/2] FROM r/x:1", "[internal] load build context")
    app.done("[linux/amd64 build 2/2] RUN a", cached=True).done("[linux/arm64 2/2] RUN a")
    app.done("[3/3] RUN x", error="failed")
    assert told(app) == "1 of 2 steps were there"


def test_what_an_earlier_session_built_was_not_there() -> None:
    two = Session("app", "web")
    for target in ("app", "web"):
        two.done(f"[{target}] {IMPORT}", error="down")
        two.done(f"[{target} 1/2] RUN a", f"[{target}] {EXPORT}", error="")
    app = two.again("app").done(IMPORT).done("[1/2] RUN a", "[2/2] RUN b", cached=True)
    assert told(app) == "1 of 2 steps were there"
    assert written(app) == "not written: the builder does not say why"
    assert two.build.caches["web"].tell(SOURCES, TARGETS) == "not read: down, written"


def test_what_a_cache_broke_was_built() -> None:
    app = steps(Session("app").done(IMPORT), 3)
    app.build.caches["app"].broken = GONE
    assert told(app) == f"not read, so that all was built: {GONE}"


@pytest.mark.parametrize(
    ("errors", "targets", "said"),
    [
        ([""], TARGETS, "written"),
        (["", ""], (*TARGETS, "type=local,dest=x"), "written"),
        ([""], (*TARGETS, "type=inline"), "written"),
        ([], ("type=inline",), "written into the image"),
        (["error writing layer blob: 401"], TARGETS, "not written: 401"),
        (["", "error writing manifest blob: 429"], TARGETS * 2, "not written: 429"),
        (["down", "down"], TARGETS * 2, "not written: down"),
        ([], TARGETS, "not written: the builder does not say why"),
        ([""], (*TARGETS, "type=gha"), "not written: the builder does not say why"),
        ([], ("type=registry,ref=r/type=inline",), "not written: the builder does not say why"),
    ],
)
def test_what_was_written(errors: list[str], targets: tuple[str, ...], said: str) -> None:
    app = Session("app")
    for number, error in enumerate(errors):
        app.vertex(EXPORT, key=str(number))
        app.vertex(EXPORT, key=str(number), completed="2026-11-23T16:00:01Z", error=error)
    assert written(app, *targets) == said


def test_an_export_that_has_not_ended_is_not_written() -> None:
    assert written(Session("app").start(EXPORT)) == "not written: the builder does not say why"


def test_a_long_reason_is_cut() -> None:
    assert len(told(Session("app").done(IMPORT, error="x" * 9999))) < 250


def test_a_cache_that_fails_is_no_fault_of_a_build_and_stays_in_the_log() -> None:
    two = Session("app", "web").start(f"[app] {IMPORT}", "[web 1/1] RUN x")
    two.done(f"[app] {IMPORT}", error="down").done(f"[app] {EXPORT}", error="busy")
    two.done("[web 1/1] RUN x", error="no")
    assert two.build.suspects == {"web", ""}
    two.messages("ERROR: target web: failed to solve: down: no")
    assert two.fault().step == "[1/1] RUN x"
    assert two.closed()[0] == (
        "app",
        [IMPORT, f"{IMPORT} failed: down", f"{EXPORT} failed: busy"],
    )
