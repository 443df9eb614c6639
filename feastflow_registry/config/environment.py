"""What the environment says: which variables are inputs, where the files are, what children see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from feastflow_registry.config.settings import Settings

PREFIX = "FEASTFLOW_"
TOKENS = (f"{PREFIX}TOKEN", f"{PREFIX}GITHUB_TOKEN", "DOCKERHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN")
_CHILD_SEES = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|TERM|XDG_\w+|SSH_AUTH_SOCK|"
    r"SSL_CERT_(?:FILE|DIR)|GIT_SSL_CAINFO|CURL_CA_BUNDLE|(?:https?|no|all)_proxy|"
    r"DOCKER_(?:HOST|CONTEXT|CONFIG|CERT_PATH|TLS_VERIFY)|BUILDX_(?:CONFIG|BUILDER)",
    re.IGNORECASE,
)


def child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What the programs that this one starts may see: what they need, and no secret."""
    seen = {name: value for name, value in environ.items() if _CHILD_SEES.fullmatch(name)}
    return {**seen, "GIT_TERMINAL_PROMPT": "0", "DOCKER_CLI_HINTS": "false"}


def find_folder(environ: Mapping[str, str], here: Path) -> Path:
    """The top of the working copy: the runner's workspace, or the one around this folder."""
    if environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_WORKSPACE"):
        return Path(environ["GITHUB_WORKSPACE"])
    return next((each for each in (here, *here.parents) if (each / ".git").exists()), here)


def merge(given: Mapping[str, str | None], environ: Mapping[str, str]) -> dict[str, str]:
    """Merge the inputs: an option (``given``) beats a variable."""
    found = {"username": environ.get("DOCKERHUB_USERNAME", "").strip()}
    for name in Settings.model_fields:
        value = environ.get(f"{PREFIX}{name.upper()}", "")
        value = given.get(name) or value
        if value.strip():
            found[name] = value
    return found
