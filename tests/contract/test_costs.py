"""What it costs to start a test: a file of numpy alone does not wait for torch and the exporter."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "optimum", "onnxruntime", "model_export"}
"""Seconds of CPU each, before the first test runs."""


def test_the_shared_fixtures_import_nothing_heavy() -> None:
    """Every test file loads the root conftest; the fixtures in it import what they need when a test asks for them."""
    code = "import sys, tests.conftest; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert not HEAVY & set(loaded.split())
