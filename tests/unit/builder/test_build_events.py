"""What a line of buildx's output says, whatever is in it."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feastflow_registry.builder.build_events import Advice, Output, Vertex, read

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
    found = read(json.dumps(line))
    assert found
    assert found[0] == Vertex("sha256:a", "[1/2] COPY a /", "", "", cached=False, error="")
    assert isinstance(found[1], Vertex)
    assert (found[1].cached, found[1].error) == (True, "exit code: 1")
    assert found[1].seconds == pytest.approx(2.623, abs=0.001)
    assert found[2:] == (Output("sha256:b", True, b"b\n"), Advice("sha256:a", "naïve"))


@pytest.mark.parametrize("line", ["", "ERROR: no", "#1 [internal]", "{broken", "[]", "  {}"])
def test_what_is_no_event_is_a_word_of_buildx(line: str) -> None:
    assert read(line) is None


@pytest.mark.parametrize("line", ["{}", '{"later": [1]}', '{"vertexes": [1, null]}'])
def test_what_is_not_known_is_left_out(line: str) -> None:
    assert read(line) == ()


@pytest.mark.parametrize(
    ("started", "completed"),
    [("", ""), ("soon", "later"), ("2026-11-23T16:23:14Z", "2026-11-23T16:23:14")],
)
def test_a_time_that_cannot_be_read_took_none(started: str, completed: str) -> None:
    assert Vertex("", "", started, completed, cached=False, error="").seconds == 0.0


def test_output_that_is_not_encoded_is_empty() -> None:
    assert read('{"logs": [{"vertex": "v", "data": "a"}]}') == (Output("v", False, b""),)


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
    read(json.dumps(value))
