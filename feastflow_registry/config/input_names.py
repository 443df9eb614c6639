"""What a message calls an input: as whoever reads it has given it, or would.

A message is written once and names an input as a workflow does, ``the input "to"``, or with the
value that it is to have, ``input "latest: force"``. Here alone that becomes an option of the
command line, a step's own ``latest: force``, or a key of ``feastflow.yml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from feastflow_registry.config.settings import INPUTS, option

_NAMED = re.compile(r'(?:the )?input (\\?"|&quot;)([a-z-]+)(?:: (.+?))?\1')
"""JSON has a backslash before a quote, and Markdown an entity in its place."""
_BY_HAND = {
    "command": "the command",
    "username": "DOCKERHUB_USERNAME",
    "token": "DOCKERHUB_TOKEN",
    "github-token": "FEASTFLOW_GITHUB_TOKEN",
    "also-credentials": "FEASTFLOW_ALSO_CREDENTIALS",
    "cache-token": "FEASTFLOW_CACHE_TOKEN",
}
"""What is no option of the command line: a word of its own, or a variable."""


@dataclass(slots=True)
class InputNames:
    """The names of one run's inputs. ``_of_file``: where those stand that a file has given."""

    in_runner: bool
    _of_file: dict[str, str] = field(default_factory=dict)

    def learn(self, file: str, names: Iterable[str]) -> None:
        """Learn which inputs a file has given, by their settings."""
        self._of_file |= {option(name): file for name in names}

    def spell(self, text: str) -> str:
        """Call each input that a text names as its reader does."""
        return _NAMED.sub(self._spelled, text)

    def _spelled(self, named: re.Match[str]) -> str:
        name, value = named[2], named[3]
        if name not in _BY_HAND and name.replace("-", "_") not in INPUTS:
            return named[0]
        is_markdown = named[1] == "&quot;"
        form = "<code>{}</code>" if is_markdown else "`{}`"
        if value:
            return form.format(f"{name}: {value}" if self.in_runner else f"--{name} {value}")
        if name in self._of_file:
            return f"{form.format(f'{name}:')} in {self._of_file[name]}"
        if not self.in_runner:
            return _BY_HAND.get(name, f"--{name}")
        quoted = f"&quot;{name}&quot;"
        return named[0].replace(quoted, form.format(name)) if is_markdown else named[0]
