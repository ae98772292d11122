"""The environment of the training half: TRL with the versions that it wants, and the client of this repository."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks import environments
from research.rlhf.folder import Folder

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
ROOT = Path(__file__).resolve().parents[2]


def built(folder: Folder) -> Path | None:
    """The environment's python, if it was built from these requirements."""
    return environments.built(folder.environment, REQUIREMENTS)


def environment(folder: Folder, say: Callable[[str], None] = print) -> Path:
    """The environment's python; built on the first call, and again when the requirements change.

    Raises:
        EnvironmentFailed: with pip's last lines.
    """
    if not built(folder):
        say("building the training environment (once, three minutes)")
    client = ("--no-deps", "--editable", str(ROOT / "client"))
    return environments.build(folder.environment, REQUIREMENTS, then=client)


def run_worker(python: Path, name: str, *arguments: object, log: Path | None = None) -> None:
    """Run `research.rlhf.worker.<name>` to its end, with its output on the terminal or in a log.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [str(python), "-m", f"research.rlhf.worker.{name}", *map(str, arguments)]
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    variables = {**os.environ, **offline, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if log is None:
        subprocess.run(command, env=variables, check=True)  # noqa: S603 - our own program
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        subprocess.run(command, env=variables, check=True, stdout=file, stderr=file)  # noqa: S603 - as above
