"""Threads that wait for each other leave the cores to the others: said before torch is loaded, by whatever trains."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.process import ROOT

NAME = "OMP_WAIT_POLICY"
_END_AT_TORCH = f"""
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch finds", os.environ.get("{NAME}"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
"""
_FILES = ("--data", "none.jsonl", "--output", "none")
WAYS = {
    "train": ("-m", "plurality", "train", *_FILES, "--model", "none"),
    "import": ("-m", "plurality", "import", "none", "--store", "none", "--name", "none"),
    "sweep": ("-m", "plurality", "sweep", *_FILES, "--validation", "none.jsonl"),
    "demo": ("-m", "plurality", "demo"),
    "the sidecar": ("-m", "plurality", "train", "--watch", "none.toml"),
    "the library": ("-c", "from plurality.training.train import train"),
    "the demo as a library": ("-c", "from plurality.synthetic.run import run_demo"),
}


def run(words: tuple[str, ...], folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A process in whose environment nobody has chosen how to wait, but for `variables`."""
    kept = {name: value for name, value in os.environ.items() if name not in {NAME, "GOMP_SPINCOUNT"}}
    kept["PYTHONPATH"] = os.pathsep.join((str(folder), str(ROOT)))
    command = [sys.executable, *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=folder, env=kept | variables, check=False
    )


@pytest.mark.parametrize("words", WAYS.values(), ids=WAYS)
def test_before_torch(words: tuple[str, ...], tmp_path: Path) -> None:
    """OpenMP reads it as torch is loaded, once: by then it is there."""
    (tmp_path / "sitecustomize.py").write_text(_END_AT_TORCH)
    assert run(words, tmp_path).stdout == "torch finds PASSIVE\n"


@pytest.mark.parametrize(
    ("chosen", "spins"), [({}, "1000"), ({NAME: "ACTIVE"}, "30000000000"), ({"GOMP_SPINCOUNT": "7"}, "7")]
)
def test_what_openmp_does(chosen: dict[str, str], spins: str, tmp_path: Path) -> None:
    """torch's own OpenMP says how often a waiting thread looks again; what the user chose stays."""
    done = run(("-c", "import plurality.core.rows, torch"), tmp_path, OMP_DISPLAY_ENV="VERBOSE", **chosen)
    assert done.returncode == 0, done.stderr
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr
