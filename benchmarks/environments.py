"""Virtual environments of peers, clients and studies: each with the versions that it wants, and none disturbs ours."""

import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

WORK = Path(".bench/environments")
"""Where environments are built unless told otherwise."""
_PEERS = Path(__file__).parent / "peers"
_STAMP = "requirements.sha256"
_SHOWN_LINES = 4
_SHOWN_CHARACTERS = 200
_PIP_TIMEOUT_S = 1800


class EnvironmentFailed(Exception):
    """An environment cannot be built; the message says why, and the benchmark leaves the peer out."""


def environment(name: str, work: Path = WORK) -> Path:
    """The python of `peers/<name>/requirements.txt`; built if it is absent, half-built or of other requirements.

    Raises:
        EnvironmentFailed: with pip's last lines.
    """
    requirements = _PEERS / name / "requirements.txt"
    if not requirements.is_file():
        raise EnvironmentFailed(f"no requirements for {name}: {requirements} is absent")
    return build(work / name, requirements)


def built(folder: Path, requirements: Path) -> Path | None:
    """The python of the environment in `folder`; None if it is absent, half-built or of other requirements."""
    # Absolute, but not resolved: the link bin/python is what makes it the environment's python.
    python, stamp = folder.absolute() / "bin" / "python", folder / _STAMP
    whole = stamp.is_file() and stamp.read_text(encoding="utf-8") == _digest(requirements)
    return python if whole and python.exists() else None


def build(
    folder: Path, requirements: Path, *, options: Sequence[str] = (), then: Sequence[str] = (), pip: bool = True
) -> Path:
    """The python of an environment, built if need be.

    Args:
        options: of the requirements' installation: --no-deps where they are a complete lock.
        then: what pip is asked to install afterwards.
        pip: the environment has a pip of its own; otherwise ours installs into it, without bytecode: half the time.

    Raises:
        EnvironmentFailed: with pip's last lines.
    """
    if ready := built(folder, requirements):
        return ready
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=pip, symlinks=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentFailed(f"cannot create {folder}: {error}") from error
    python = folder.absolute() / "bin" / "python"
    own = [str(python), "-m", "pip", "install"]
    install = own if pip else [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-compile"]
    torch = [line for line in requirements.read_text(encoding="utf-8").splitlines() if line.startswith("torch==")]
    if torch:  # first and alone, so that its CPU build is not replaced on another package's wish
        _pip(install, *torch)
    _pip(install, *options, "--requirement", str(requirements))
    if then:
        _pip(install, *then)
    (folder / _STAMP).write_text(_digest(requirements), encoding="utf-8")  # last: an interrupted build has no stamp
    return python


def installed_megabytes(python: Path) -> float:
    """What the environment's site-packages take on the disk, in 10^6 bytes, as `du` counts."""
    packages = next((python.parent.parent / "lib").glob("python*/site-packages"))
    blocks = {(s.st_dev, s.st_ino): s.st_blocks for s in (path.lstat() for path in packages.rglob("*"))}
    return sum(blocks.values()) * 512 / 1e6


def _digest(requirements: Path) -> str:
    return hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()


def _pip(install: Sequence[str], *arguments: str) -> None:
    command = [*install, "--quiet", "--disable-pip-version-check", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)  # noqa: S603 - pinned requirements
    except subprocess.TimeoutExpired:
        raise EnvironmentFailed(f"pip install {' '.join(arguments)} took more than {_PIP_TIMEOUT_S} s") from None
    if done.returncode:
        raise EnvironmentFailed(f"pip install {' '.join(arguments)}: {_reason(done.stderr)}")


def _reason(errors: str) -> str:
    """Pip's last lines without its warnings, bounded: it lists every version that it did not want."""
    lines = [line.strip() for line in errors.splitlines() if line.strip() and not line.startswith("WARNING:")]
    return " / ".join(line[:_SHOWN_CHARACTERS] for line in lines[-_SHOWN_LINES:])
