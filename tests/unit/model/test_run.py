from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.failures import fails
from support.runs import MOMENT, A, B

from feastflow_registry.model.errors import Failure
from feastflow_registry.model.history import Checkout
from feastflow_registry.model.run import (
    LAPTOP,
    Ref,
    RefKind,
    Run,
    from_checkout,
    from_runner,
    read_payload,
)
from feastflow_registry.model.source import Source

CHECKOUT = Checkout(head=A, committed=MOMENT)
ENVIRON = {
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_REPOSITORY": "FeastFlow/shop",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_SHA": B.sha,
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_ACTOR": "ada",
    "GITHUB_RUN_ID": "42",
    "GITHUB_RUN_ATTEMPT": "2",
}
KEYS = ["pull_request", "head", "repo", "full_name", "sha", "workflow_run", "deleted"]


def read(payload: str = "{}", **more: str) -> Run:
    return from_runner({**ENVIRON, **more}, payload, CHECKOUT)


def test_a_push() -> None:
    assert read() == Run(
        event="push",
        ref=Ref(RefKind.BRANCH, "main"),
        commit=B,
        checkout=B,
        committed=MOMENT,
        source=Source.of("https://github.com/FeastFlow/shop"),
        repository="FeastFlow/shop",
        actor="ada",
        run_url="https://github.com/FeastFlow/shop/actions/runs/42",
        attempt=2,
    )
    assert read().in_runner


@pytest.mark.parametrize(
    ("event", "payload", "branch"),
    [
        ("push", "{}", ""),
        ("push", '{"repository": {"default_branch": "trunk"}}', "trunk"),
        ("push", '{"repository": {"default_branch": 1}}', ""),
        ("schedule", "{}", "develop"),
        ("schedule", '{"repository": {"default_branch": "trunk"}}', "trunk"),
    ],
)
def test_the_default_branch(event: str, payload: str, branch: str) -> None:
    more = {"GITHUB_EVENT_NAME": event, "GITHUB_REF": "refs/heads/develop"}
    assert read(payload, **more).default_branch == branch
    cloned = replace(CHECKOUT, default_branch="of-the-clone")
    found = from_runner({**ENVIRON, **more}, payload, cloned)
    assert found.default_branch == (branch or "of-the-clone")


@pytest.mark.parametrize(
    ("text", "kind", "name", "shown"),
    [
        ("refs/heads/feature/a", RefKind.BRANCH, "feature/a", "branch feature/a"),
        ("refs/tags/v1.2.0", RefKind.TAG, "v1.2.0", "git tag v1.2.0"),
        ("refs/pull/7/merge", RefKind.PULL, "7/merge", "pull request 7/merge"),
        ("refs/heads/größe|`$(x)`", RefKind.BRANCH, "größe|`$(x)`", "branch größe|`$(x)`"),
        ("", RefKind.NONE, "", "detached commit"),
    ],
)
def test_refs(text: str, kind: RefKind, name: str, shown: str) -> None:
    ref = read(GITHUB_REF=text).ref
    assert (ref, str(ref)) == (Ref(kind, name), shown)


@pytest.mark.parametrize(
    "text",
    [
        "main",
        "refs/notes/x",
        "refs/heads/",
        "refs/heads/a b",
        "refs/heads/a\n::error::",
        "refs/tags/a^{}",
    ],
)
def test_refuses_what_is_no_ref(text: str) -> None:
    with fails("GITHUB_REF", "not a git ref", "do not overwrite it"):
        read(GITHUB_REF=text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_EVENT_NAME", "push\n::set-output::"),
        ("GITHUB_EVENT_NAME", LAPTOP),
        ("GITHUB_REPOSITORY", "shop"),
        ("GITHUB_REPOSITORY", "a/b/c"),
        ("GITHUB_REPOSITORY", "a b/c"),
        ("GITHUB_REPOSITORY", "a/.."),
        ("GITHUB_REPOSITORY", "./c"),
        ("GITHUB_SERVER_URL", "javascript:alert(1)"),
        ("GITHUB_SERVER_URL", "https://github.com)<script>"),
        ("GITHUB_SHA", "a b"),
    ],
)
def test_refuses_a_variable_that_github_never_sends(name: str, value: str) -> None:
    with fails(f"the variable {name} is", "GitHub never sends", "GitHub Actions"):
        read(**{name: value})
    with fails(f"the variable {name} is not set"):
        read(**{name: ""})


def test_refuses_a_commit_that_is_abbreviated() -> None:
    with fails("'abc1234'", "40 lowercase hexadecimal"):
        read(GITHUB_SHA="abc1234")


@pytest.mark.parametrize(
    ("more", "url", "attempt"),
    [
        ({"GITHUB_RUN_ID": ""}, "", 2),
        ({"GITHUB_RUN_ID": "1/../.."}, "", 2),
        ({"GITHUB_RUN_ATTEMPT": ""}, None, 1),
        ({"GITHUB_RUN_ATTEMPT": "x"}, None, 1),
    ],
)
def test_a_run_without_number(more: dict[str, str], url: str | None, attempt: int) -> None:
    found = read(**more)
    assert found.run_url == (read().run_url if url is None else url)
    assert found.attempt == attempt


@pytest.mark.parametrize(
    ("number", "known"), [("1296269", "1296269"), ("", ""), ("1;", ""), ("-1", ""), ("\u0661", "")]
)
def test_the_number_of_the_repository(number: str, known: str) -> None:
    assert read(GITHUB_REPOSITORY_ID=number).repository_id == known


class TestPayload:
    @pytest.mark.parametrize(
        "text",
        [
            *["", "null", "[]", '"text"', "7", "{", "{'a': 1}", "\ufffd\x00", "[" * 100_000],
            *['{"a":' * 100_000, "9" * 5000, '{"a": 1} trailing'],
        ],
    )
    def test_refuses_what_is_no_object(self, text: str) -> None:
        with fails("GITHUB_EVENT_PATH", "not a JSON object") as caught:
            read(text)
        assert len(str(caught.value)) < 300

    def test_reads_a_huge_one(self) -> None:
        assert read(json.dumps({"commits": ["x" * 1000] * 5000})).event == "push"

    @pytest.mark.parametrize(
        ("value", "deleted"), [(True, True), (False, False), ("true", False), (1, False)]
    )
    def test_deleted(self, value: object, deleted: bool) -> None:
        assert read(json.dumps({"deleted": value})).deleted is deleted

    @pytest.mark.parametrize(
        ("body", "fork"),
        [
            ({"pull_request": {"head": {"repo": {"full_name": "eve/shop"}}}}, True),
            ({"pull_request": {"head": {"repo": {"full_name": "feastflow/SHOP"}}}}, False),
            ({"workflow_run": {"head_repository": {"full_name": "eve/shop"}}}, True),
            ({"workflow_run": {"head_repository": {"full_name": "FeastFlow/shop"}}}, False),
            ({"pull_request": {"head": {"repo": None}}}, False),
            ({"pull_request": [], "workflow_run": "x"}, False),
            ({"pull_request": {"head": {"repo": {"full_name": 7}}}}, False),
            ({}, False),
        ],
    )
    def test_fork(self, body: object, fork: bool) -> None:
        assert read(json.dumps(body)).fork is fork

    @pytest.mark.parametrize("event", ["pull_request", "pull_request_target"])
    @pytest.mark.parametrize(("sha", "named"), [(A.sha, A), ("short", B), (None, B), ({"a": 1}, B)])
    def test_a_pull_request_is_named_by_its_head(
        self, event: str, sha: object, named: object
    ) -> None:
        body = json.dumps({"pull_request": {"head": {"sha": sha}}})
        found = read(body, GITHUB_EVENT_NAME=event)
        assert (found.commit, found.checkout) == (named, B)
        assert read(body).commit == B

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda some: st.lists(some) | st.dictionaries(st.sampled_from(KEYS), some),
        )
    )
    def test_any_json_is_read_or_refused(self, body: object) -> None:
        text = json.dumps(body)
        if isinstance(body, dict):
            assert read_payload(text) == body
            assert read(text, GITHUB_EVENT_NAME="pull_request").checkout == B
        else:
            with pytest.raises(Failure):
                read(text)


class TestByHand:
    def test_a_branch(self) -> None:
        remote = "git@github.com:FeastFlow/shop.git"
        checkout = replace(CHECKOUT, branch="main", remotes=(remote,), on_remote_main=True)
        assert from_checkout(checkout) == Run(
            event=LAPTOP,
            ref=Ref(RefKind.BRANCH, "main"),
            commit=A,
            checkout=A,
            committed=MOMENT,
            source=Source.of("https://github.com/FeastFlow/shop"),
            repository="FeastFlow/shop",
            on_remote_main=True,
        )
        assert not from_checkout(checkout).in_runner

    def test_a_detached_commit_of_an_unknown_remote(self) -> None:
        found = from_checkout(replace(CHECKOUT, remotes=("/srv/git/shop.git",)))
        assert (found.ref, found.repository) == (Ref(RefKind.NONE, ""), "")
        assert found.source == Source("/srv/git/shop", is_known=False)
