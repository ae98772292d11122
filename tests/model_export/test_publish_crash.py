"""kill -9 of the publisher at each thing it asks of the disk, and a disk that is full: old or new, nothing else."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.bundle.pointer import read_pointer
from service.bundle.store import read_verified
from tests.e2e.process import ROOT, serving

BODY = {"items": [{"prompt": "p", "response": "r"}]}
Publish = Callable[[int, int], tuple[int, int]]


@contextmanager
def publisher(store: Path) -> Iterator[Publish]:
    """Publishes in a process of its own, killed at step k; returns its exit code and the steps of a whole run."""
    command = [sys.executable, "-m", "tests.model_export.crashing", str(store)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        wire, told = process.stdin, process.stdout

        def publish(fatal: int, sequence: int) -> tuple[int, int]:
            wire.write(f"{fatal} {sequence}\n")
            wire.flush()
            code, steps = map(int, told.readline().split())
            return code, steps

        try:
            yield publish
        finally:
            wire.close()


def served_version(api: str) -> str:
    reply = httpx.post(f"{api}/rm/v1/score", json=BODY, timeout=60)
    assert reply.status_code == 200, reply.text
    version: str = reply.json()["model"]["version"]
    return version


def check_store(model: Path, old: str, *, killed_at: int) -> str:
    """What a reader finds: a pointer to the old version or to a whole new one; returns which."""
    for path in (model / "versions").iterdir():
        read_verified(path)  # its name is its digest, and every byte is there
    named = read_pointer(model).aliases["stable"]
    assert (model / "versions" / named / "manifest.json").exists(), killed_at
    new = {path.name for path in (model / "versions").iterdir()}
    assert named == old or named in new
    return named


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_killed_at_every_step(store: Path, version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever step it dies at, readers find old or new, a service that watches never fails a request, and the next
    publish of the same content succeeds and leaves nothing behind."""
    monkeypatch.setenv("PLURALITY_REPOSITORY__POLL_INTERVAL_S", "0.05")
    model = store / "tiny"
    with publisher(store) as publish, serving(store) as served:
        code, steps = publish(0, 2)
        assert code == 0
        assert steps > 30
        ever = {version.name, read_pointer(model).aliases["stable"]}
        moved = 0
        for fatal in range(1, steps + 1):
            old = read_pointer(model).aliases["stable"]
            assert publish(fatal, 2 + fatal)[0] == -signal.SIGKILL, fatal
            moved += check_store(model, old, killed_at=fatal) != old
            assert served_version(served.api) in ever | {read_pointer(model).aliases["stable"]}
            assert publish(0, 2 + fatal)[0] == 0, fatal
            assert check_store(model, old, killed_at=fatal) != old
            ever.add(read_pointer(model).aliases["stable"])
            assert sorted(path.name for path in model.iterdir()) == [".publisher.lock", "pointer.json", "versions"]
        assert moved, "no run died after the pointer was replaced"
        last, deadline = read_pointer(model).aliases["stable"], time.monotonic() + 120
        while served_version(served.api) != last:
            assert time.monotonic() < deadline
        assert served.process.poll() is None


FULL = """
import json, os, sys
from pathlib import Path
from model_export.publish import write_version
from service.errors import PublishError
from service.bundle.pointer import read_pointer
from service.bundle.pointer_writer import set_aliases, writer
from service.bundle.store import read_verified

store = Path(sys.argv[1])
[source] = (store / "tiny" / "versions").iterdir()
files, pointer = read_verified(source), read_pointer(store / "tiny")
changed = files.manifest.model_copy(update={"sequence": 2})

def attempt():
    with writer(store, "tiny") as directory:
        set_aliases(directory, {"stable": write_version(directory, changed, files.contents)})

free = os.statvfs(store)
ballast = store / "ballast"
needed = sum(map(len, files.contents.values()))
said, failures = set(), 0
for share in (0.0, 0.3, 0.6, 0.9):
    space = free.f_bavail * free.f_frsize - int(share * needed)
    with ballast.open("wb") as file:
        file.write(b"x" * space)
    try:
        attempt()
    except PublishError as error:
        said.add(error.message)
        failures += 1
    assert read_pointer(store / "tiny") == pointer
    assert [path.name for path in (store / "tiny" / "versions").iterdir()] == [source.name]
    assert not (store / "tiny" / ".staging").exists()
    read_verified(source)
    ballast.unlink()
attempt()
assert read_pointer(store / "tiny").aliases["stable"] != source.name
print(json.dumps({"said": sorted(said), "failures": failures}))
"""


@pytest.mark.e2e
def test_a_full_disk(store: Path, tmp_path: Path) -> None:
    """On a real file system without room: refused with its cause, nothing visible, nothing left; with room it works."""
    disk = tmp_path / "disk"
    disk.mkdir()
    # `unshare`: the mount is in a namespace of its own and goes with the process.
    inside = ["unshare", "--mount", "--map-root-user", "sh", "-ec"]
    script = 'mount -t tmpfs -o size=16m tmpfs "$1" && cp -r "$2" "$1/store" && exec "$3" -c "$4" "$1/store"'
    probe = [*inside, 'mount -t tmpfs tmpfs "$1"', "sh", str(disk)]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    words = [str(disk), str(store), sys.executable, FULL]
    done = subprocess.run([*inside, script, "sh", *words], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["failures"] == 4
    assert all("No space left" in said for said in found["said"])
