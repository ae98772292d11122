"""A PostgreSQL cluster of the tests' own: in a temporary folder, on a unix socket, ended with them."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from tests.system.install import program

_USER = "postgres"
"""Debian's account for it: PostgreSQL refuses to run as root."""
_OPTIONS = "-c listen_addresses= -c fsync=off -c max_connections=200 -k {folder}"


@contextmanager
def cluster() -> Iterator[Path]:
    """The folder of its socket, while it runs. Whoever may connect is trusted: the folder is a test's."""
    initdb = program("initdb")
    if initdb is None:
        raise FileNotFoundError("PostgreSQL is not installed: `make test-system` installs it")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's own folders are closed to other users
    root = os.geteuid() == 0
    if root:
        account = pwd.getpwnam(_USER)
        os.chown(folder, account.pw_uid, account.pw_gid)
    folder.chmod(0o755)

    def run(name: str, *words: str) -> None:
        command = [str(initdb.with_name(name)), "-D", str(folder / "data"), *words]
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if root else {}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **as_user)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        run("initdb", "-U", "plurality", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        run("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", _OPTIONS.format(folder=folder))
        try:
            yield folder
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def databases() -> Iterator[Callable[[], str]]:
    """A cluster, and a function that makes an empty database in it and returns its URL."""
    numbers = count()
    with cluster() as folder:

        def fresh() -> str:
            name = f"votes_{next(numbers)}"
            with psycopg.connect(host=str(folder), user="plurality", dbname="postgres", autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}".encode())
            return f"postgresql://plurality@/{name}?host={folder}"

        yield fresh
