"""Voters of known taste: they like some words, and agree to a known degree."""

import random
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from plurality.core.rows import PreferenceRow, Votes
from service.bundle.calibrate import sigmoid
from service.feedback.database import FeedbackStore
from tests.tiny import build_tiny_checkpoint, publish_tiny

LIKED, DISLIKED = ("four", "seven", "nine"), ("two", "five", "eight")
FILLER = ("name", "number", "prime", "above", "ten")


def response(rng: random.Random) -> str:
    """Words, of which some are liked."""
    return " ".join(rng.choice([*LIKED, *DISLIKED, *FILLER]) for _ in range(6))


def preference(a: str, b: str) -> float:
    """p*: the share of the population that prefers a."""
    return sigmoid(1.2 * (_worth(a) - _worth(b)))


def _worth(text: str) -> int:
    words = text.split()
    return sum(word in LIKED for word in words) - sum(word in DISLIKED for word in words)


def judged(count: int, *, seed: int, voters: int = 5) -> list[PreferenceRow]:
    """Pairs on prompts of their own with the votes of a few people, and their p*."""
    rng = random.Random(seed)  # noqa: S311 - seeded on purpose
    rows = []
    for number in range(count):
        a, b = response(rng), response(rng)
        for_a = sum(rng.random() < preference(a, b) for _ in range(voters))
        rows.append(
            PreferenceRow(
                id=f"vote-{seed}-{number}", source="feedback", prompt=f"Prompt {seed} {number}.", response_a=a,
                response_b=b, label=for_a / voters, votes=Votes(a=for_a, b=voters - for_a),
                true_preference=preference(a, b),
            )
        )  # fmt: skip
    return rows


@dataclass
class KnownVotes:
    """Votes in memory, numbered from 1."""

    rows: list[PreferenceRow] = field(default_factory=list)

    def newest(self) -> int:
        return len(self.rows)

    def count_after(self, row: int) -> int:
        return len(self.rows) - row

    def rows_up_to(self, row: int) -> Iterable[PreferenceRow]:
        return self.rows[:row]


def started(folder: Path, *, settings: str = "", training: str = "", store: Path | None = None) -> Path:
    """A store with a first, untrained version, a database without votes and a sidecar's file beside them.

    Args:
        store: copied, where nothing is trained; otherwise the version is exported, beside its checkpoint.
    """
    if store:
        shutil.copytree(store, folder / "store")
    else:
        publish_tiny(folder / "store", "tiny", calibrated=False)
        build_tiny_checkpoint("bert", folder / "checkpoint", seed=0)
    database = FeedbackStore(f"sqlite:///{folder}/feedback.db")
    database.open()
    database.close()
    path = folder / "sidecar.toml"
    path.write_text(
        f"""
store = "store"
name = "tiny"
work = "work"
model = "checkpoint"
feedback = "sqlite:///feedback.db"
{"" if "min_new_votes" in settings else "min_new_votes = 200"}
held_out_share = 0.4
poll_s = 0.05
{settings}

[train]
objective = "soft"
epochs = 6.0
learning_rate = 3e-3
batch_size = 16
max_length = 64
{training}
"""
    )
    return path
