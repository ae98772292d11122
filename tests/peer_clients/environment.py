"""Virtual environments of the clients. Clients whose pins agree share one; none of them disturbs ours.

Each requirements.txt is a complete lock and is installed without dependencies: trainers ask for packages that need a
GPU (deepspeed, flash-attn, vllm), which the functions that call a reward model never import.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks import environments

WORK = Path(".clients")
"""Where environments are built unless told otherwise."""
VARIABLE = "PLURALITY_CLIENTS"
"""Tells the tests where they were built."""
_LOCKS = Path(__file__).parent / "environments"


def names() -> list[str]:
    """All environments that can be built."""
    return sorted(path.parent.name for path in _LOCKS.glob("*/requirements.txt"))


def built(name: str, work: Path) -> Path | None:
    """The python of an environment; None if it is absent, half-built or of other requirements."""
    return environments.built(work / name, _lock(name))


def build(name: str, work: Path) -> Path:
    """The python of an environment, built if need be.

    Raises:
        EnvironmentFailed: with pip's last words.
    """
    return environments.build(work / name, _lock(name), options=("--no-deps",), pip=False)


def _lock(name: str) -> Path:
    return _LOCKS / name / "requirements.txt"


def main() -> None:
    """Build environments, and say what each cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"by default all: {', '.join(names())}")
    parser.add_argument("--into", type=Path, default=Path(os.environ.get(VARIABLE) or WORK))
    options = parser.parse_args()
    for name in options.names or names():
        began = time.monotonic()
        megabytes = environments.installed_megabytes(build(name, options.into))
        sys.stdout.write(f"{name}: {time.monotonic() - began:.0f} s, {megabytes:.0f} MB\n")


if __name__ == "__main__":
    main()
