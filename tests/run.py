"""`python -m tests.run`: the whole suite, and the coverage gates. What `make test` and CI run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICE_BRANCHES = 95
PURE = (
    "service/engine/policy.py",
    "service/engine/queue.py",
    "service/bundle/calibrate.py",
    "service/admission.py",
    "service/errors.py",
    "service/domain.py",
    "service/bundle/tokenize.py",
    "service/bundle/formats.py",
    "service/experiments/assign.py",
    "service/experiments/breaker.py",
    "service/experiments/compare.py",
    "service/experiments/definition.py",
    "service/experiments/report.py",
    "service/experiments/rows.py",
    "service/experiments/verdict.py",
    "service/drift/drift_metrics.py",
    "service/drift/window.py",
    "service/versions/states.py",
    "service/versions/aliases.py",
    "service/versions/lifecycle.py",
    "service/versions/health.py",
    "plurality/stats/*.py",
)
"""Modules without I/O, clock or threads: every branch is covered."""

COVERED = ("tests/service", "tests/plurality/stats")
"""Tests that the gates are measured on; tracing the others would double their cost and prove no more."""

_WORKERS = ("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")
"""A worker a core; the tests of a file stay together, for they share what is expensive to make."""


def main() -> int:
    """Run pytest, partly under coverage, then the gates; returns the exit code."""
    python = [sys.executable, "-m"]
    steps = [
        [*python, "coverage", "erase"],
        [*python, "coverage", "run", "-m", "pytest", *_WORKERS, *COVERED],
        [*python, "coverage", "combine", "--quiet"],
        [*python, "coverage", "report", "--include=service/*", f"--fail-under={SERVICE_BRANCHES}"],
        [*python, "coverage", "report", f"--include={','.join(PURE)}", "--fail-under=100"],
        [*python, "pytest", *_WORKERS, *(f"--ignore={folder}" for folder in COVERED)],
    ]
    for step in steps:
        code = subprocess.run(step, cwd=ROOT, check=False).returncode
        if code:
            sys.stderr.write(f"failed: {' '.join(step[2:])}\n")
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
