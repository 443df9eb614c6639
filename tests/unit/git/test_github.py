"""What GitHub's API may answer that no program expects, read without a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from support.failures import fails
from support.runs import A, B

from feastflow_registry.git.github import GitHubApi, GitHubHistory
from feastflow_registry.model.errors import Kind
from feastflow_registry.transport.http import Client
from feastflow_registry.transport.response import Response

COMMITS = f'[{{"sha": "{B}", "parents": [{{"sha": "{A}"}}]}}]'
QUESTIONS: list[Callable[[GitHubHistory], object]] = [
    lambda history: history.relation(A, B),
    lambda history: history.newer(A, "main"),
    lambda history: history.ancestors(B),
    lambda history: history.git_tag("v1"),
    lambda history: history.git_tag_names(),
    lambda history: history.resolve(B.short),
]


class Answers:
    """GitHub, which gives one answer to everything."""

    def __init__(self, body: str) -> None:
        self.body = body

    def clock(self) -> float:
        return 0.0

    def send(self, method: str, url: str, **_: Any) -> Response:
        return Response(200, {}, self.body.encode(), url)


@pytest.mark.parametrize(
    "body",
    [
        *("1e999", "-1e999", "NaN", "9" * 5000, '"\\ud800"', "[" * 100_000),
        f'{{"status": 1e999, "total_commits": 1, "commits": {COMMITS}}}',
    ],
)
@pytest.mark.parametrize("ask", QUESTIONS)
def test_what_is_no_answer_is_damage(ask: Callable[[GitHubHistory], object], body: str) -> None:
    history = GitHubHistory(GitHubApi(cast("Client", Answers(body)), "https://x", "a/b", ""))
    with fails("sends damaged answers", kind=Kind.UNREACHABLE):
        ask(history)


@pytest.mark.parametrize("total", ["1e999", "-1e999", "NaN", "null", "9" * 5000])
def test_a_count_that_is_none_is_damage(total: str) -> None:
    """Python reads 1e999 as a number that no integer is."""
    body = f'{{"status": "ahead", "total_commits": {total}, "commits": {COMMITS}}}'
    history = GitHubHistory(GitHubApi(cast("Client", Answers(body)), "https://x", "a/b", ""))
    with fails("sends damaged answers", kind=Kind.UNREACHABLE):
        history.newer(A, "main")
