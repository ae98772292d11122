"""A user's own folders that are called as ours do not shadow them, however the command is started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.process import ROOT, serving

pytestmark = pytest.mark.e2e
SCRIPT = "from plurality.cli import main; main()"
"""What the console command `plurality` does."""
PYTHON_M = ("-m", "plurality")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1")
NAMES = ("service", "model_export", "training", "metrics", "evaluation")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with packages of a user's; none of them can be imported."""
    for name in NAMES:
        package = tmp_path / "mine" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f'raise SystemExit("this is the user\'s own {name}")\n')
    return tmp_path / "mine"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A console command as an installation writes it: outside the working directory."""
    path = tmp_path / "bin" / "plurality"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n{SCRIPT}\n")
    return path


def environment(first: str = "") -> dict[str, str]:
    """Our packages are found, after `first`."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (first, str(ROOT))))}


@pytest.mark.parametrize(
    ("how", "first"),
    [("python -m", ""), ("python -m", "."), ("script", "."), ("torchrun -m", ""), ("torchrun script", ".")],
)
def test_verbs_find_our_packages(how: str, first: str, folder: Path, script: Path, store: Path) -> None:
    """A verb that needs the service and the exporter runs them, not what lies in the working directory."""
    started = {
        "python -m": PYTHON_M,
        "script": (str(script),),
        "torchrun -m": (*TORCHRUN, *PYTHON_M),
        "torchrun script": (*TORCHRUN, str(script)),
    }[how]
    command = [sys.executable, *started, "models", "--store", str(store)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, cwd=folder, env=environment(first), check=False
    )
    assert done.returncode == 0, done.stderr
    assert "tiny" in done.stdout
    assert "user's own" not in done.stdout + done.stderr


def test_training_is_ours(folder: Path, tmp_path: Path) -> None:
    """`train` gets as far as its refusal of a folder that holds no model."""
    files = ["--data", "none.jsonl", "--model", str(tmp_path), "--output", str(tmp_path / "out")]
    command = [sys.executable, *PYTHON_M, "train", *files]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, cwd=folder, env=environment(), check=False
    )
    assert "error: cannot open" in done.stderr
    assert "user's own" not in done.stdout + done.stderr


def test_the_service_tries_candidates_with_our_code(folder: Path, published: Path, tmp_path: Path) -> None:
    """The child process that a version is first run in finds our packages too."""
    store = shutil.copytree(published, tmp_path / "store")
    with serving(store, cwd=folder, env=environment(".")) as served:
        served.stop()
    events = [entry["event"] for entry in served.log]
    assert "model_loaded" in events
    assert "model_rejected" not in events
