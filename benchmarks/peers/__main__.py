"""`python -m benchmarks.peers --check [name...]`: build, start and ask each peer; compare its rewards with ours."""

import argparse
import tempfile
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer

from benchmarks.environments import WORK, EnvironmentFailed, environment, installed_megabytes
from benchmarks.peers.peer import Peer
from benchmarks.peers.process import ModelFiles, PeerFailed, running
from benchmarks.peers.registry import PEERS
from model_export.checkpoint import open_checkpoint
from model_export.pipeline import Target, export
from model_export.sample_texts import sample_items
from model_export.to_onnx import quantize_int8
from plurality.synthetic.encoder import DEMO_MODEL, resolve_model
from service.bundle.open import MODEL_FILE, load_model, score_now
from service.bundle.store import version_directory
from service.domain import Reward, ScoreItem

EXACT = 1e-5
"""How far the rewards of a peer that reads the same tokens may be from ours."""
_TEXTS = 3


@dataclass(frozen=True, slots=True)
class Reference:
    """The model that every peer serves, texts, and our rewards of them."""

    files: ModelFiles
    items: list[ScoreItem]
    rewards: list[float]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The texts as peers take them."""
        return [(str(item.prompt), item.response) for item in self.items]

    def difference(self, rewards: list[float]) -> float:
        """The largest difference to ours."""
        return max(abs(theirs - ours) for theirs, ours in zip(rewards, self.rewards, strict=True))


def main() -> int:
    """Parse, make a model, check the peers. Returns the process's status: 1 if a peer is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--check", nargs="*", choices=[peer.name for peer in PEERS], required=True, metavar="NAME")
    parser.add_argument("--work", type=Path, default=WORK, help="where environments are built")
    parser.add_argument("--threads", type=int, default=2, help="of each engine")
    options = parser.parse_args()
    chosen = [peer for peer in PEERS if peer.name in options.check or not options.check]
    with tempfile.TemporaryDirectory(prefix="plurality-peers-") as folder:
        reference = make_reference(Path(folder))
        good = [report(peer, reference, options.work, options.threads) for peer in chosen]
    return 0 if all(good) else 1


def make_reference(folder: Path) -> Reference:
    """An untrained MiniLM in every form, and our rewards of a few texts."""
    source = resolve_model(DEMO_MODEL)
    checkpoint = open_checkpoint(source, new_head=True)
    checkpoint.model.save_pretrained(folder / "checkpoint")
    AutoTokenizer.from_pretrained(source).save_pretrained(folder / "checkpoint")
    [published] = export(checkpoint, Target(folder / "store", "peers", ("fp32",)))
    version = version_directory(folder / "store", "peers", published.digest)
    [int8] = quantize_int8(version / MODEL_FILE, folder)
    items = sample_items(_TEXTS, seed=11)
    model = load_model(version)
    with closing(model.backend):
        outcomes = [outcome for outcome in score_now(model, items) if isinstance(outcome, Reward)]
    rewards = [outcome.value + model.manifest.center for outcome in outcomes]
    return Reference(ModelFiles(folder / "checkpoint", version / MODEL_FILE, int8), items, rewards)


def report(peer: Peer, reference: Reference, work: Path, threads: int) -> bool:
    """Check one peer and print a line; whether it is as it should be."""
    began = time.perf_counter()
    try:
        python = environment(peer.environment, work)
        built = time.perf_counter() - began
        with running(peer, python, reference.files, threads) as process:
            difference = reference.difference(ask(peer, process.url, reference.pairs))
            alone = reference.difference([ask(peer, process.url, [pair])[0] for pair in reference.pairs])
    except (EnvironmentFailed, PeerFailed, OSError, KeyError, ValueError) as error:
        print(f"{peer.name:<14} not run: {error}", flush=True)
        return False
    good = max(difference, alone) <= EXACT or not peer.exact
    print(
        f"{peer.name:<14} {'ok' if good else 'differs':<8}",
        f"environment {built:5.1f} s, {installed_megabytes(python):6.0f} MB   start {process.start_seconds:5.1f} s  ",
        f"rewards off by {difference:.1e} in one request, {alone:.1e} one by one",
        flush=True,
    )
    return good


def ask(peer: Peer, url: str, pairs: list[tuple[str, str]]) -> list[float]:
    """Rewards of one request."""
    request = urllib.request.Request(f"{url}{peer.path}", peer.body(pairs), {"content-type": "application/json"})  # noqa: S310 - http
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - to the process that we started
        return peer.rewards(reply.read())


if __name__ == "__main__":
    raise SystemExit(main())
