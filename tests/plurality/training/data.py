"""Preference rows made on the spot, and the settings of a very small run."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from plurality.core.rows import PreferenceRow
from plurality.training.config import TrainConfig

GOOD, BAD = "this one is about all of their work", "no"
"""A planted signal: what the better answer ends with, and the worse one."""
_WEIGHTS = "model.safetensors"
_FILLER = ("the", "one", "that", "was", "there", "when", "they", "said", "what", "would")


def raw_row(**changes: Any) -> dict[str, Any]:
    """A valid row as JSON, with some fields changed; None leaves a field out."""
    row = {"prompt": "p", "response_a": "a", "response_b": "b", "label": 1.0} | changes
    return {key: value for key, value in row.items() if value is not None}


def row(**changes: Any) -> PreferenceRow:
    """A valid row with some fields changed; None leaves a field out."""
    return PreferenceRow.model_validate(raw_row(**({"id": "r"} | changes)))


def planted(count: int, *, seed: int = 0, votes: bool = False) -> list[dict[str, Any]]:
    """Pairs of which the better answer always ends with the good words; half of them are at b."""
    rng = random.Random(seed)  # noqa: S311 - not a secret
    rows = []
    for index in range(count):
        answers = [" ".join(rng.choices(_FILLER, k=rng.randint(2, 6))) + f" {end}" for end in (GOOD, BAD)]
        label = float(rng.random() < 0.5)
        first, second = answers if label else answers[::-1]
        prompt = " ".join(rng.choices(_FILLER, k=3))
        rows.append(raw_row(id=f"pair-{index}", prompt=prompt, response_a=first, response_b=second, label=label))
        if votes:
            rows[-1]["votes"] = {"a": 7, "b": 3} if label else {"a": 2, "b": 8}
    return rows


def mixed(count: int) -> list[dict[str, Any]]:
    """Pairs of two sources, one three times the other; the small one's labels are the other way round: a conflict."""
    rows = planted(count, votes=True)
    for index, entry in enumerate(rows):
        entry["source"] = "small" if index % 4 == 0 else "large"
        if index % 4 == 0:
            entry["label"] = 1.0 - entry["label"]
    return rows


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """One row a line."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in rows))
    return path


def settings(model: Path, data: Path, output: Path, **changes: Any) -> TrainConfig:
    """A run of a few steps."""
    base = {"batch_size": 8, "learning_rate": 1e-3, "seed": 3}
    return TrainConfig.model_validate({"model": str(model), "data": data, "output": output} | base | changes)


def same_bits(first: Path, second: Path) -> bool:
    """Whether two runs ended with the very same weights."""
    import torch
    from safetensors.torch import load_file

    left, right = load_file(first / _WEIGHTS), load_file(second / _WEIGHTS)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
