"""On which platforms a Dockerfile runs programs."""

from __future__ import annotations

import pytest

from feastflow_registry.config.stages import platforms_run

ARM, AMD = "linux/arm64", "linux/amd64"
CROSS = """\
FROM --platform=$BUILDPLATFORM golang:1.25 AS build
ARG TARGETARCH
RUN GOARCH=$TARGETARCH go build -o /app
"""


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("FROM scratch\nCOPY . /\n", False),
        ("FROM alpine\nRUN apk add curl\n", True),
        ("FROM alpine\nrun apk add curl\n", True),
        ("FROM alpine\nRUN <<EOF\nFROM x\nEOF\n", True),
        ("FROM alpine\nCOPY <<EOF /x\nRUN false\nEOF\n", False),
        ("FROM alpine\n# RUN false\n", False),
        # What only cross-compiles, and what continues it or copies from it.
        (f"{CROSS}FROM scratch\nCOPY --from=build /app /\n", False),
        (f"{CROSS}FROM scratch\nCOPY --from=0 /app /\n", False),
        (f"{CROSS}FROM build AS next\nRUN true\nFROM scratch\nCOPY --from=next /app /\n", False),
        (CROSS.replace("$BUILDPLATFORM", "${BUILDPLATFORM}") + "FROM build\nRUN true\n", False),
        (f"{CROSS}FROM alpine\nCOPY --from=build /app /\nRUN /app --version\n", True),
        (f"{CROSS}FROM --platform=$TARGETPLATFORM build\nRUN true\n", True),
        (f"{CROSS}FROM --platform=${{TARGETPLATFORM}} build\nRUN true\n", True),
        # What is not built does not count.
        ("FROM alpine AS test\nRUN true\nFROM scratch\nCOPY . /\n", False),
        ("FROM alpine AS Tools\nRUN true\nFROM scratch\nCOPY --from=tools /x /\n", True),
        ("FROM alpine AS t\nRUN true\nFROM t AS last\n", True),
        ("FROM a AS t\nRUN true\nFROM b\nRUN --mount=type=bind,from=t cp x y\n", True),
        (f"FROM a AS t\nRUN true\n{CROSS}RUN --mount=from=t,target=/t true\n", True),
        ("FROM a AS t\nRUN true\nFROM b\nENV A=--from=t\nCOPY x --from=t\n", False),
        ("FROM a AS t\nRUN true\nFROM scratch\nCOPY --chmod=755 --from=t /x /\n", True),
        # Names that stand in arguments.
        (f"ARG BASE=build\n{CROSS}FROM ${{BASE}}\nRUN true\n", False),
        ("ARG BASE='alpine'\nFROM $BASE\nRUN true\n", True),
        ("ARG V=3 BASE=alpine:$V\nFROM $BASE\nRUN true\n", True),
        ("FROM ${BASE:-alpine}\nRUN true\n", True),
        ("ARG P=$BUILDPLATFORM\nFROM --platform=$P alpine\nRUN true\n", False),
        # Nobody can tell.
        ("ARG BASE\nFROM $BASE\nRUN true\n", False),
        ("FROM --platform=$OTHER alpine\nRUN true\n", False),
        ("# syntax=example.com/front:1\nFROM alpine\nRUN true\n", False),
        ("# syntax=docker/dockerfile:1\nFROM alpine\nRUN true\n", True),
        ("FROM\nRUN true\n", False),
        ("RUN true\n", False),
        ("", False),
    ],
)
def test_where_programs_run(text: str, runs: bool) -> None:
    assert platforms_run(text, "", {}, (AMD, ARM)) == ((AMD, ARM) if runs else ())


def test_a_platform_that_is_written_out_is_run_whatever_is_asked_for() -> None:
    text = f"FROM --platform={ARM} alpine AS a\nRUN true\nFROM scratch\nCOPY --from=a /x /\n"
    assert platforms_run(text, "", {}, ()) == (ARM,)
    assert platforms_run(text + "RUN true\n", "", {}, (AMD,)) == (AMD, ARM)


def test_the_target_and_the_arguments_of_the_build_decide() -> None:
    text = "ARG BASE=scratch\nFROM alpine AS Tools\nRUN true\nFROM $BASE\nCOPY . /\n"
    assert platforms_run(text, "", {}, (ARM,)) == ()
    assert platforms_run(text, "tools", {}, (ARM,)) == (ARM,)
    assert platforms_run(text, "0", {}, (ARM,)) == (ARM,)
    assert platforms_run(text, "", {"BASE": "tools"}, (ARM,)) == (ARM,)
    assert platforms_run(text, "no-such-stage", {}, (ARM,)) == ()


def test_a_stage_that_copies_from_itself_ends() -> None:
    assert platforms_run("FROM a AS a\nRUN true\nCOPY --from=a /x /y\n", "", {}, (ARM,)) == (ARM,)
