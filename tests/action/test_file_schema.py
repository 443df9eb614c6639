"""feastflow.schema.json, the models and what the program reads cannot disagree."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from feastflow_registry.commands import init
from feastflow_registry.config import file, settings
from feastflow_registry.config.schema import FileModel, RetentionModel, ServiceModel
from feastflow_registry.model.errors import Failure

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "feastflow.schema.json"
SCHEMA: dict[str, Any] = json.loads(FILE.read_text())
SERVICE: dict[str, Any] = next(iter(SCHEMA["properties"]["services"]["patternProperties"].values()))
CHECK = Path(sys.executable).parent / "check-jsonschema"
GOOD = [
    """\
namespace: feastflow
milestone: sprint3
services:
  frontend: {image: feastflow-frontend, context: frontend/app, smoke-test: 3000/}
  pricing:  {context: services/pricing, platforms: [linux/amd64, linux/arm64]}
retention: {keep-days: 90, keep-last: 10}
""",
    "branches: main, release/**\nattest: true\nshared-tags: false\nsha-length: 8\nlatest: never\n",
    """\
x-common: &common {args: {ZIP: "0012345"}, platforms: linux/amd64}
services:
  base:
  menu: {<<: *common, additional_contexts: {base: service:base}, secrets: ["id=npm,env=NPM"]}
""",
    "attest: [type=sbom]\nservices-from: compose.yaml\n",
    init.draft(
        "feastflow/shop",
        ["app/Dockerfile", "no/Dockerfile.1", "shared/x"],
        lambda _: b"FROM x\nCOPY gone $Y /\nCOPY --from=shared x /\n",
    ),
]
BAD = [
    "milestone: 1.10\n",
    "nmespace: x\n",
    "latest: sometimes\n",
    "shared-tags: 'true'\n",
    "sha-length: 3\n",
    "services: {}\n",
    "services: {a b: }\n",
    "services: {a: {contxt: x}}\n",
    "services: {a: {image: Shop}}\n",
    "services: {a: {args: {ZIP: 0012345}}}\n",
    "services: {a: {args: {A=B: x}}}\n",
    "services: {a: {platforms: {a: b}}}\n",
    "services: {a: }\nservices-from: compose.yaml\n",
    "retention: {keep-days: -1}\n",
    "- a\n",
]


def run(*argv: str | Path) -> tuple[int, str]:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Those texts that do not validate; all of them are judged by one start of the program."""
    folder = tmp_path_factory.mktemp("texts")
    texts = {folder / f"{number}.yml": text for number, text in enumerate([*GOOD, *BAD])}
    for path, text in texts.items():
        path.write_text(text)
    _, said = run(CHECK, "--output-format=json", "--schemafile", FILE, *texts)
    found = json.loads(said)
    assert found["parse_errors"] == []
    return {texts[Path(each["filename"])] for each in found["errors"]}


def reads(text: str) -> bool:
    try:
        settings.parse({}, file.read("feastflow.yml", text.encode()).policy)
    except Failure:
        return False
    return True


def test_the_file_is_what_the_models_say() -> None:
    code, said = run(sys.executable, ROOT / "dev" / "schema", "--check")
    assert code == 0, said


def test_it_is_a_schema_and_knows_its_address() -> None:
    code, said = run(CHECK, "--check-metaschema", FILE)
    assert code == 0, said
    assert SCHEMA["$id"] == init.SCHEMA
    assert SCHEMA["$id"].endswith(f"/main/{FILE.name}")
    assert SCHEMA["title"] == file.NAME


def described(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, each in schema.get("properties", {}).items():
        yield f"{path}{name}", each.get("description", "")
        yield from described(each, f"{path}{name}.")


EVERY_KEY = dict(described(SCHEMA)) | dict(described(SERVICE, "services.NAME."))


def test_every_key_is_there() -> None:
    prefixes: dict[str, type[BaseModel]] = {
        "": FileModel,
        "services.NAME.": ServiceModel,
        "retention.": RetentionModel,
    }
    assert set(EVERY_KEY) == {
        f"{prefix}{field.alias or name}"
        for prefix, model in prefixes.items()
        for name, field in model.model_fields.items()
    }


@pytest.mark.parametrize("key", EVERY_KEY)
def test_every_key_is_described_in_sentences(key: str) -> None:
    assert EVERY_KEY[key].endswith(".")


@pytest.mark.parametrize("text", GOOD)
def test_what_editors_accept_is_read(text: str, marked: set[str]) -> None:
    assert text not in marked
    assert reads(text)


@pytest.mark.parametrize("text", BAD)
def test_what_editors_mark_is_refused(text: str, marked: set[str]) -> None:
    assert text in marked
    assert not reads(text)
