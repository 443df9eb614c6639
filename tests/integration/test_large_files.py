"""A file of 50 MB that `prune` is shown: read to its last line, in little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.soak import chosen

SIZE = 50_000_000
LINES = {
    "one word": b"0123456789abcdef",
    "nothing": b"\0",
}
CHILD = """
import re, resource, sys
from pathlib import Path
from feastflow_registry.kubernetes import files, usage
from feastflow_registry.model.references import RegistryHost, Repository

repository = Repository.parse(RegistryHost.parse("ghcr.io"), "feastflow/app")
status = Path("/proc/self/status").read_text()
most = int(re.search(r"VmSize:\\s+(\\d+)", status)[1]) * 1024 + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (most, most))
shown = files.every(Path(sys.argv[1]), ["deploy"])
print(usage.find(shown, [sys.argv[2]]).known[sys.argv[2]], len(usage.unclear(shown, [repository])))
"""


def write(file: Path, kind: str, last: str) -> int:
    """Fill a file, and add a last line; its number."""
    line = LINES[kind]
    block = line * (1_000_000 // len(line))
    file.parent.mkdir(exist_ok=True)
    with file.open("wb") as opened:
        for _ in range(SIZE // len(block)):
            opened.write(block)
        opened.write(f"\ntag: {last}".encode())
    return block.count(b"\n") * (SIZE // len(block)) + 2


@pytest.mark.parametrize("kind", chosen(LINES))
def test_it_is_read_in_little_memory(tmp_path: Path, kind: str) -> None:
    number = write(tmp_path / "deploy" / "values.yaml", kind, "commit-41302b2")
    arguments = [str(tmp_path), "41302b2", str(SIZE // 2)]
    command = [sys.executable, "-c", CHILD, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"deploy/values.yaml:{number}", "1"]
