"""`python -m tests.system.install`: the Debian packages that the system tests run, those that are missing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGES: Mapping[str, str] = {
    "chromium": "chromium",
    "postgresql": "initdb",
    "prometheus": "promtool",
    "qemu-user": "qemu-x86_64",
}
"""A program of each package: it is installed where that is found."""
_FOLDERS = "/usr/lib/postgresql/*/bin"
"""Where Debian keeps programs that are not on the path."""


def program(name: str) -> Path | None:
    """Where a program is, of the newest version that is installed."""
    if found := shutil.which(name):
        return Path(found).resolve()
    elsewhere = [path / name for path in Path("/").glob(_FOLDERS.removeprefix("/")) if (path / name).is_file()]
    return max(elsewhere, key=lambda path: float(path.parent.parent.name), default=None)


def main() -> int:
    """Install what is missing; needs root for that alone."""
    missing = [package for package, name in PACKAGES.items() if program(name) is None]
    if not missing:
        return 0
    if os.geteuid() != 0:
        sys.stderr.write(f"not installed, and only root can: apt-get install {' '.join(missing)}\n")
        return 1
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", *missing]):
        subprocess.run(command, check=True, env=quiet)
    return 0


if __name__ == "__main__":
    sys.exit(main())
