"""What is written of a build's events, where, and how often."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.build_sessions import START, Session

from feastflow_registry.builder.build_log import Output, Vertex, Warned, read_events
from feastflow_registry.builder.diagnosis import Fault

FAILED = 'process "/bin/sh -c x" did not complete successfully: exit code: 1'
CANCELED = 'process "/bin/sh -c x" did not complete successfully: exit code: 137: context canceled'


def test_one_service_is_told_as_it_goes() -> None:
    app = Session("app").done("[1/3] FROM r/x:1@sha256:" + "0" * 64, cached=True)
    app.start("[2/3] COPY a /").done("[2/3] COPY a /")
    app.start("[3/3] RUN x")
    before = [
        "[1/3] FROM r/x:1 CACHED",
        "[2/3] COPY a /",
        "[3/3] RUN x",
    ]
    assert app.groups == [("app", before)]
    app.say("[3/3] RUN x", "one\ntw").say("[3/3] RUN x", "o\n\n")
    assert app.groups == [("app", [*before, "  one", "  two"])]
    app.done("[3/3] RUN x", seconds=12).done("exporting to image")
    after = ["[3/3] 12.3s", "exporting to image 0.3s"]
    assert app.closed() == [("app", [*before, "  one", "  two", *after])]


def test_whoever_waits_is_told_which_step_runs() -> None:
    told: list[str] = []
    both = Session("a", "b")
    both.build.tell = told.append
    both.start("[a 1/2] RUN x", "[b 1/2] RUN y").done("[a 1/2] RUN x").start("exporting to image")
    assert told == ["Building a: [1/2] RUN x", "Building b: [1/2] RUN y"]


def test_internal_steps_and_progress_are_not_told() -> None:
    app = Session("app")
    app.messages(
        json.dumps({"statuses": [{"id": "resolve", "vertex": "v", "current": 1}]}), "", "  "
    )
    app.done("[internal] load build definition", "[auth] r:pull", "[linux/arm64 internal] load x")
    app.done("resolve image config for docker-image://r/x:1", "docker-image://r/x:1")
    app.done("[internal] load local bake definitions")
    app.say("[internal] load build definition", "x\n").say("unknown", "x\n")
    assert app.closed() == [("app", [])]
    both = Session("a", "b").done("[a internal] load x", "[b auth] r:pull", "importing to docker")
    both.done("[a] resolve image config for docker-image://r/x:1", "[internal] load local")
    both.say("importing to docker", "x\n")
    assert both.closed() == [("a", [])]


def test_a_line_is_what_a_terminal_would_show_in_the_end() -> None:
    app = Session("app").start("[1/1] RUN x")
    app.say("[1/1] RUN x", "10%\r50%\r100%\r\n").say("[1/1] RUN x", b"\xc3")
    app.say("[1/1] RUN x", b"\xa4\xff\n").say("[1/1] RUN x", "to 2\n", stream=2)
    app.say("[1/1] RUN x", "no end")
    app.done("[1/1] RUN x")
    [(_, lines)] = app.groups
    assert lines == ["[1/1] RUN x", "  100%", "  ä\ufffd", "  to 2", "  no end", "[1/1] 0.3s"]


def test_a_line_without_end_is_written_before_it_fills_the_memory() -> None:
    app = Session("app").start("[1/1] RUN x")
    for _ in range(5):
        app.say("[1/1] RUN x", "x" * 20_000)
    assert [len(line) for line in app.groups[0][1]] == [11, 80_002]


def test_steps_side_by_side_are_told_apart() -> None:
    app = Session("app").start("[a 1/1] RUN x", "[b 1/1] RUN y")
    app.say("[a 1/1] RUN x", "x1\n").say("[b 1/1] RUN y", "y1\n").say("[b 1/1] RUN y", "y2\n")
    app.done("[a 1/1] RUN x")
    assert app.groups[0][1][2:] == ["[a 1/1]", "  x1", "[b 1/1]", "  y1", "  y2", "[a 1/1] 0.3s"]


def test_a_step_that_was_looked_for_elsewhere_first_says_cached() -> None:
    app = Session("app").start("[1/1] RUN x").done("[1/1] RUN x", cached=True)
    assert app.groups == [("app", ["[1/1] RUN x", "[1/1] CACHED"])]


def test_a_step_that_is_taken_up_again_is_told_once_more_if_it_took_long() -> None:
    name = "[1/1] FROM r/x:1"
    app = Session("app").done(name)
    app.vertex(name, at="2026-11-23T16:00:01Z")
    app.vertex(name, at="2026-11-23T16:00:01Z", completed="2026-11-23T16:00:09Z")
    app.vertex(name, at="2026-11-23T16:00:10Z", completed="2026-11-23T16:00:10.1Z")
    assert app.groups == [("app", [f"{name} 0.3s", "[1/1] 8.0s"])]


def test_the_others_wait_until_their_turn() -> None:
    three = Session("a", "b", "c")
    three.start("[b 1/1] COPY b /").done("[b 1/1] COPY b /", "[b] exporting to image")
    three.start("[c 1/1] RUN c", "[a 1/1] RUN a").say("[c 1/1] RUN c", "c1\n")
    assert three.groups == [("a", ["[1/1] RUN a"])]
    three.done("[a] exporting to image")
    b = ("b", ["[1/1] COPY b /", "exporting to image 0.3s"])
    assert three.groups[1:] == [b, ("c", ["[1/1] RUN c", "  c1"])]
    three.say("[c 1/1] RUN c", "c2\n")
    assert three.groups[2][1][-1] == "  c2", "the last is told as it goes"
    assert len(three.closed()) == 3


def test_who_exports_a_cache_has_not_ended_before() -> None:
    two = Session("a", "b", caching=["a"]).done("[a] exporting to image", "[b 1/1] COPY b /")
    assert [title for title, _ in two.groups] == ["a"]
    two.done("[a] exporting cache to registry")
    assert [title for title, _ in two.groups] == ["a", "b"]


def test_what_comes_late_is_not_lost() -> None:
    two = Session("a", "b").done("[a] exporting to image", "[a] exporting cache to registry")
    two.done("[b 1/1] COPY b /")
    assert two.closed() == [
        ("a", ["exporting to image 0.3s"]),
        ("b", ["[1/1] COPY b / 0.3s"]),
        ("a, continued", ["exporting cache to registry 0.3s"]),
    ]


def test_a_target_that_has_nothing_to_say_has_no_group() -> None:
    assert Session("a", "b").done("[a 1/1] COPY a /").closed() == [("a", ["[1/1] COPY a / 0.3s"])]


def test_a_shared_step_belongs_to_the_first_that_names_it() -> None:
    two = Session("a", "b")
    for name in ("[b 1/1] COPY x /", "[a 1/1] COPY x /"):
        two.vertex(name, key="x").vertex(name, key="x", completed=START, at="2026-11-23T16:00:01Z")
    assert two.closed() == [("a", []), ("b", ["[1/1] COPY x /"])]


def test_a_shared_step_that_took_long_is_told_once() -> None:
    two = Session("a", "b")
    for at, name in (("0", "[a 1/1] RUN x"), ("1", "[b 1/1] RUN x")):
        began, ended = f"2026-11-23T16:00:0{at}Z", f"2026-11-23T16:00:1{at}Z"
        two.vertex(name, key="x", at=began).vertex(name, key="x", at=began, completed=ended)
    assert two.closed() == [("a", ["[1/1] RUN x", "[1/1] 10.0s"])]


def test_a_step_of_what_a_service_is_built_from_is_that_services() -> None:
    two = Session("z", "base", "app", needs={"app": ["base"]})
    two.vertex("[app 1/1] RUN x", key="x").say("x", "x1\n").start("[app 2/2] COPY a /")
    two.vertex("[base 1/2] RUN x", key="x")
    two.vertex("[app 1/1] RUN x", key="x", completed=START, cached=True)
    two.vertex("[base 1/2] RUN x", key="x", completed=START, cached=True)
    assert two.closed() == [
        ("z", []),
        ("base", ["[1/1] RUN x", "  x1", "[1/2] CACHED"]),
        ("app", ["[2/2] COPY a /"]),
    ]


def test_what_is_told_already_stays_where_it_is() -> None:
    two = Session("app", "base", needs={"app": ["base"]})
    two.vertex("[app 1/1] RUN x", key="x").vertex("[base 1/2] RUN x", key="x").say("x", "x1\n")
    assert two.closed() == [("app", ["[1/1] RUN x", "  x1"])]


def test_a_fault_holds_its_step_and_what_that_said() -> None:
    app = Session("app").start("[2/2] RUN x").say("[2/2] RUN x", "why\nnot")
    app.done("[1/2] RUN y", error="exit code: 137").done("[2/2] RUN x", error=FAILED)
    app.messages("Dockerfile:2", "----", "   2 | >>> RUN x", f"ERROR: failed to solve: {FAILED}")
    assert app.fault() == Fault(FAILED, "[2/2] RUN x", ("why", "not"))
    told = ["  why", "[1/2] failed: exit code: 137", "[2/2]", "  not", "[2/2] failed: exit code: 1"]
    excerpt = ["Dockerfile:2", "   2 | >>> RUN x"]
    assert app.closed() == [("app", ["[2/2] RUN x", *told, *excerpt])]


def test_a_fault_outside_all_steps_is_the_last_line() -> None:
    app = Session("app").messages("ERROR: failed to solve: dockerfile parse error")
    assert app.fault() == Fault("dockerfile parse error")
    assert Session("app").fault() == Fault("")


def test_suspects_are_who_reported_an_error_and_who_is_named() -> None:
    log = Session("a", "b", "c", "d")
    for target in ("a", "b"):
        log.vertex(f"[{target} 1/1] RUN x", key="x", completed=START, error=FAILED)
    log.done("[d 1/1] RUN d", error=CANCELED)
    log.messages("Dockerfile:1", "ERROR: target c: failed to solve: dockerfile parse error")
    log.build.end()
    assert set(log.build.suspects) == {"a", "b", "c"}
    assert log.closed() == [("a", [])], "its own session tells it"


def test_what_fails_where_it_is_seen_is_told_there() -> None:
    log = Session("a", "b").start("[a 1/1] RUN a", "[b 1/1] RUN b")
    log.done("[a 1/1] RUN a", "[b 1/1] RUN b", error=FAILED)
    log.build.end()
    log.again("a", alone=True).start("[1/1] RUN a").done("[1/1] RUN a", error=FAILED)
    log.build.end()
    failed = ["[1/1] RUN a", "[1/1] failed: exit code: 1"]
    assert log.closed() == [("a", failed * 2)]


def test_what_was_canceled_is_told_when_it_is_done() -> None:
    log = Session("a", "b", "c")
    log.done("[a 1/2] COPY a /", "[b 1/2] COPY b /").start("[a 2/2] RUN a", "[b 2/2] RUN b")
    log.say("[a 2/2] RUN a", "a1\n").say("[b 2/2] RUN b", "b1\n")
    log.done("[a 2/2] RUN a", error=CANCELED)
    log.done("[b 3/3] RUN never", "[a 3/3] RUN never", error=CANCELED)
    log.build.end()
    log.again("c", alone=True).done("[1/1] RUN c", error=FAILED)
    log.build.end()
    log.build.finish(["c"])
    log.again("a", "b").done("[a 1/2] COPY a /", "[b 1/2] COPY b /", cached=True)
    log.start("[a 2/2] RUN a", "[b 2/2] RUN b")
    log.say("[a 2/2] RUN a", "a1\n").say("[b 2/2] RUN b", "b1\n")
    log.done("[a] exporting to image", "[b] exporting to image")
    run = ["[2/2] RUN a", "  a1"]
    assert log.closed() == [
        ("a", ["[1/2] COPY a / 0.3s", *run, "[2/2] canceled", *run, "exporting to image 0.3s"]),
        ("b", ["[1/2] COPY b / 0.3s", "[2/2] RUN b", "  b1", "exporting to image 0.3s"]),
        ("c", ["[1/1] failed: exit code: 1"]),
    ]


def test_a_canceled_internal_step_is_not_told() -> None:
    app = Session("app").start("[internal] load build context")
    app.messages("ERROR: unable: context canceled").build.end()
    assert app.closed() == [("app", [])]


def test_what_buildkit_advises_is_told() -> None:
    app = Session("app").done("[1/1] COPY a /")
    short = base64.b64encode(b"FromAsCasing: as").decode()
    for key in ("[1/1] COPY a /", "unknown"):
        app.messages(*[json.dumps({"warnings": [{"vertex": key, "short": short}]})] * 2)
    assert app.groups[0][1][1:] == ["warning: FromAsCasing: as"]


def test_a_session_of_one_after_a_session_of_two_goes_on() -> None:
    two = Session("a", "b").done("[a 1/1] COPY a /", "[b 1/1] COPY no /", error="")
    two.build.end()
    two.build.finish(["b"])
    two.again("a").done("[1/1] COPY a /", cached=True).done("exporting to image")
    two.build.end()
    assert two.closed()[0] == ("a", ["[1/1] COPY a / 0.3s", "exporting to image 0.3s"])


SHORT = base64.b64encode("naïve".encode()).decode()


def test_a_line_of_every_kind_of_event() -> None:
    line = {
        "vertexes": [
            {"digest": "sha256:a", "name": "[1/2] COPY a /"},
            {
                "digest": "sha256:b",
                "name": "[2/2] RUN b",
                "started": "2026-11-23T16:23:14.5Z",
                "completed": "2026-11-23T16:23:17.123456789Z",
                "cached": True,
                "error": "exit code: 1",
            },
        ],
        "statuses": [{"id": "transferring context:", "vertex": "sha256:a"}],
        "logs": [{"vertex": "sha256:b", "stream": 2, "data": "Ygo="}],
        "warnings": [{"vertex": "sha256:a", "short": SHORT}],
    }
    found = read_events(json.dumps(line))
    assert found
    assert found[0] == Vertex("sha256:a", "[1/2] COPY a /", "", "", cached=False, error="")
    assert isinstance(found[1], Vertex)
    assert (found[1].cached, found[1].error) == (True, "exit code: 1")
    assert found[1].seconds == pytest.approx(2.623, abs=0.001)
    assert found[2:] == (Output("sha256:b", True, b"b\n"), Warned("sha256:a", "naïve"))


@pytest.mark.parametrize("line", ["", "ERROR: no", "#1 [internal]", "{broken", "[]", "  {}"])
def test_what_is_no_event_is_a_word_of_buildx(line: str) -> None:
    assert read_events(line) is None


@pytest.mark.parametrize("line", ["{}", '{"later": [1]}', '{"vertexes": [1, null]}'])
def test_what_is_not_known_is_left_out(line: str) -> None:
    assert read_events(line) == ()


@pytest.mark.parametrize(
    ("started", "completed"),
    [("", ""), ("soon", "later"), ("2026-11-23T16:23:14Z", "2026-11-23T16:23:14")],
)
def test_a_time_that_cannot_be_read_took_none(started: str, completed: str) -> None:
    assert Vertex("", "", started, completed, cached=False, error="").seconds == 0.0


def test_output_that_is_not_encoded_is_empty() -> None:
    assert read_events('{"logs": [{"vertex": "v", "data": "a"}]}') == (Output("v", False, b""),)


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=3) | st.integers(0, 9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["vertexes", "logs", "warnings", "name", "data", "stream"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=9,
    )
)
def test_no_json_stops_the_reading(value: object) -> None:
    read_events(json.dumps(value))
