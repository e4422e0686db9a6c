"""A fresh Python process, in which nothing is imported yet: what a worker or a new user sees.

The code of a script enters with texts as its arguments; what it writes as JSON in the last line of
its output leaves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from gendkit.testing.rules import RuleBroken

SECONDS = 300


def in_fresh_process(code: str, *arguments: str, **environment: str) -> Any:
    """Run a script and return the JSON that it prints last.

    Parameters
    ----------
    code
        Of the script; it may import whatever this process can.
    arguments
        Its `sys.argv[1:]`.
    environment
        Variables besides those of this process.

    Raises
    ------
    RuleBroken
        If it fails or does not end within five minutes, with the last line of its errors.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "PYTHONDONTWRITEBYTECODE": "1",
                **environment,
            },
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise RuleBroken(f"a fresh process did not end within {SECONDS} s.") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"it ended with {done.returncode}"
        raise RuleBroken(f"a fresh process failed: {reason}")
    return json.loads(done.stdout.strip().splitlines()[-1])
