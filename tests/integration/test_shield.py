"""What another program of the same user can read of this one's memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import subprocess, sys
from feastflow_registry import cli
secret = "only-for-" + "tests"
if "shield" in sys.argv:
    cli.shield()
read = "with open('/proc/%d/mem' % __import__('os').getppid(), 'rb'): print('open')"
found = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True)
print("open" if found.stdout else found.stderr.split()[-3:])
"""
# Root reads everything unless it lacks this; a user without privileges lacks it anyway.
AS_A_USER = ["setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"]


@pytest.mark.parametrize(("argument", "is_open"), [("shield", False), ("none", True)])
def test_the_memory_is_closed(argument: str, is_open: bool) -> None:
    prefix = AS_A_USER if os.geteuid() == 0 else []
    done = subprocess.run(
        [*prefix, sys.executable, "-c", PROGRAM, argument],
        capture_output=True,
        text=True,
        check=True,
    )
    if argument == "none" and "open" not in done.stdout:
        pytest.skip("this kernel closes it to children anyway (Yama)")
    assert ("open" in done.stdout) is is_open, done.stdout + done.stderr
    assert is_open or "Permission" in done.stdout
