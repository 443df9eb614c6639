"""Files killed while they are replaced: each is what it was or what it was to be, never between."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.soak import one_in

from feastflow_registry.kubernetes import files

OLD, NEW = b"# old\n" * 100_000, b"# new\n" * 120_000
CHILD = """
import os, signal, sys
from pathlib import Path
from feastflow_registry.kubernetes import files

workspace, place, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def dies(real):
    def call(*arguments):
        global count
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    return call

if place == "replace":
    Path.replace = dies(Path.replace)
else:
    setattr(os, place, dies(getattr(os, place)))
found = files.find(workspace, ["k8s"])
files.replace([(each, b"# new\\n" * 120_000) for each in found])
"""


@pytest.mark.parametrize(
    ("place", "count", "replaced"),
    one_in(
        3,
        [
            ("fdopen", 1, 0),
            ("fchmod", 1, 0),
            ("fsync", 1, 0),
            ("fsync", 2, 0),
            ("replace", 1, 0),
            ("fsync", 3, 1),
            ("replace", 2, 1),
            ("fsync", 4, 2),
            ("fsync", 5, 2),
        ],
    ),
)
def test_a_killed_run_leaves_whole_files(
    tmp_path: Path, place: str, count: int, replaced: int
) -> None:
    (tmp_path / "k8s").mkdir()
    paths = [tmp_path / "k8s/a.yaml", tmp_path / "k8s/b.yaml"]
    for path in paths:
        path.write_bytes(OLD)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), place, str(count)],
        check=False,
        capture_output=True,
    )
    assert done.returncode == (-signal.SIGKILL if count < 5 else 0), done.stderr.decode()
    assert [path.read_bytes() for path in paths] == [NEW] * replaced + [OLD] * (2 - replaced)
    # What the dead left behind is no manifest, and a second run finishes the job.
    found = files.find(tmp_path, ["."])
    assert [each.name for each in found] == ["k8s/a.yaml", "k8s/b.yaml"]
    files.replace([(each, NEW) for each in found])
    assert [path.read_bytes() for path in paths] == [NEW, NEW]
