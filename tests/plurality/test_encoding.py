"""`plurality` where the terminal's encoding is not UTF-8: text gets through, and JSON is UTF-8 as JSON is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reporting_service import answering

ROOT = Path(__file__).resolve().parents[2]


def said(*words: str) -> bytes:
    """What a verb writes where the locale is Latin-1."""
    environment = {**os.environ, "PYTHONIOENCODING": "iso-8859-1"}
    command = [sys.executable, "-m", "plurality", *words]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr.decode("iso-8859-1")
    return done.stdout


@pytest.mark.e2e
def test_letters_that_the_terminal_lacks() -> None:
    """They are escaped; the text around them stands."""
    assert rb"temperature: \u03c3(\u0394/T)" in said("calibrate", "--help")


@pytest.mark.e2e
def test_json_is_utf8() -> None:
    """A program that reads it need not know the locale."""
    body = {"arms": [{"arm": "σ", "verdict": {"action": "hold", "reasons": ["naïve"]}}]}
    with answering(body) as service:
        assert json.loads(said("experiment", "report", "taste", "--url", service.url, "--json").decode()) == body
