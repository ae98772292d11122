"""What would kill the service kills a child of it instead, within its limits."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from service.bundle.store import VerifiedFiles, read_verified, version_directory
from service.errors import BundleRejected
from service.versions.dry_run import DryRun, DryRunLimits, _in_memory
from service.versions.dry_run_child import verdict
from tests.stamped import bomb_graph, endless_graph, graph, manifest_of, nan_graph, plant, tokenizer_json, value

CHILDREN = "tests.service.versions"


def files(**changed: bytes) -> VerifiedFiles:
    """A stamped version, some of its files replaced."""
    contents = {"model.onnx": graph(1), "tokenizer.json": tokenizer_json(1)}
    contents |= {name.replace("_", "."): data for name, data in changed.items()}
    return VerifiedFiles("0" * 64, manifest_of(1, contents, model="m", reward=value), contents)


def refused(candidate: VerifiedFiles, *, seconds: float = 30, memory: int | None = None) -> BundleRejected:
    with pytest.raises(BundleRejected) as error:
        DryRun(DryRunLimits(seconds, memory, longest_shape=True)).run(candidate)
    return error.value


def test_a_good_version_and_one_that_answers_nan() -> None:
    """The child says whether it runs; what it answers is the self-test's matter."""
    for model in (graph(1), nan_graph(1)):
        DryRun(DryRunLimits(30, None, longest_shape=True)).run(files(model_onnx=model))


def test_every_real_architecture_fits(published: Path, published_chat: Path) -> None:
    """Exported models pass within the limits that nobody set."""
    for store in (published, published_chat):
        [directory] = store.glob("*/versions/*")
        DryRun(DryRunLimits(30, None, longest_shape=True)).run(read_verified(directory))


def test_an_allocation_bomb() -> None:
    """40,000 x 40,000 floats that the file says nothing of."""
    assert refused(files(model_onnx=bomb_graph(1))).reason == "resources"


def test_a_run_that_does_not_end() -> None:
    """Ended by the clock; and by processor time, should the clock be generous."""
    assert refused(files(model_onnx=endless_graph(1)), seconds=3).reason == "timeout"


def test_an_oversized_tokenizer() -> None:
    """A vocabulary that takes more memory than is allowed."""
    words = {f"word-{index:09}": index for index in range(1_000_000)}
    huge = Tokenizer(WordLevel(words, unk_token="word-000000000")).to_str().encode()
    assert refused(files(tokenizer_json=huge), memory=320 * 2**20).reason in {"resources", "crash"}


@pytest.mark.parametrize("data", [b"{}", b"[" * 2_000_000, b"\xff", b""])
def test_a_tokenizer_that_is_none(data: bytes) -> None:
    """Refused by the parser, in the child."""
    assert refused(files(tokenizer_json=data)).reason == "parse"


def test_a_model_that_is_none() -> None:
    """As above."""
    assert refused(files(model_onnx=b"{}")).reason == "parse"


def ask_here(candidate: VerifiedFiles) -> tuple[str | None, str]:
    """What the child would find, found in this process: without limits."""
    asked = _in_memory(candidate, DryRunLimits(30, None, longest_shape=True), 2**40)
    with os.fdopen(asked, "rb") as source:
        return verdict(json.loads(source.readline()), source)


def test_what_the_child_finds() -> None:
    """Reasons as they go into the answer."""
    assert ask_here(files()) == (None, "")
    assert ask_here(files(model_onnx=b"{}"))[0] == "parse"
    assert ask_here(files(tokenizer_json=b"{}"))[0] == "parse"


def test_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segmentation fault is the child's."""
    monkeypatch.setattr("service.versions.dry_run._CHILD", f"{CHILDREN}.crashing_child")
    assert refused(files()).reason == "crash"


def test_the_child_gets_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor, none of our environment's secrets, low priority; the limits hold."""
    monkeypatch.setenv("PLURALITY_SECRET", "1")
    monkeypatch.setattr("service.versions.dry_run._CHILD", f"{CHILDREN}.nosy_child")
    read, write = os.pipe()
    os.set_inheritable(read, True)
    try:
        seen = json.loads(refused(files(), memory=3 * 2**30).message)
    finally:
        os.close(read)
        os.close(write)
    assert [path.split(" ")[0] for path in seen["descriptors"]] == ["/dev/null", "/memfd:candidate", "/memfd:verdict"]
    assert "PLURALITY_SECRET" not in seen["environment"]
    assert seen["memory"] == 3 * 2**30
    assert seen["nice"] >= 10


def test_what_was_verified_is_what_is_probed(store: Path, tmp_path: Path) -> None:
    """A file that is changed after it was verified changes nothing: the child has the bytes, not a path."""
    digest = plant(tmp_path, 1, {})
    directory = version_directory(tmp_path, "stamped", digest)
    verified = read_verified(directory)
    (directory / "model.onnx").write_bytes(b"")
    DryRun(DryRunLimits(30, None, longest_shape=True)).run(verified)


def test_stopped() -> None:
    """Whoever closes does not wait for the child."""
    dry_run = DryRun(DryRunLimits(600, None, longest_shape=True))
    ended: list[BundleRejected] = []

    def run() -> None:
        with pytest.raises(BundleRejected) as error:
            dry_run.run(files(model_onnx=endless_graph(1)))
        ended.append(error.value)

    thread = threading.Thread(target=run)
    thread.start()
    dry_run.stop()  # before the child is there, or after: both end it
    thread.join(60)
    assert ended[0].reason == "resources"


def test_the_child_dies_with_its_parent() -> None:
    """A service that is killed leaves no child running."""
    code = (
        "from service.versions.dry_run import DryRun, DryRunLimits\n"
        "from tests.service.versions.test_dry_run import files\n"
        "from tests.stamped import endless_graph\n"
        "DryRun(DryRunLimits(600, None, longest_shape=True)).run(files(model_onnx=endless_graph(1)))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    children: Callable[[], list[str]] = lambda: (  # noqa: E731
        Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    )
    while not children():
        assert parent.poll() is None
    [child] = children()
    while b"dry_run_child" not in Path(f"/proc/{child}/cmdline").read_bytes():
        assert parent.poll() is None
    parent.kill()
    parent.wait()
    while Path(f"/proc/{child}").exists():
        state = Path(f"/proc/{child}/stat").read_text().rsplit(") ", 1)[1][0]
        if state == "Z":
            break  # dead; whoever inherits it reaps it
