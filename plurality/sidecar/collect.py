"""What a cycle trains, calibrates and evaluates on: three files, split by prompt, the same way in every cycle."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from plurality.core.rows import PreferenceRow
from plurality.sidecar.files import write_whole
from plurality.training.errors import TrainingError
from plurality.training.load import load_rows


@dataclass(frozen=True, slots=True)
class Collected:
    """The files of one cycle."""

    train: Path
    calibrate: Path
    evaluate: Path

    @classmethod
    def under(cls, folder: Path) -> "Collected":
        return cls(folder / "train.jsonl", folder / "calibrate.jsonl", folder / "evaluate.jsonl")

    @property
    def complete(self) -> bool:
        """Whether all three are there: `evaluate` is written last."""
        return self.evaluate.exists()


@dataclass(frozen=True, slots=True)
class Split:
    """Rows by their use; no prompt is in two of them."""

    train: list[PreferenceRow]
    calibrate: list[PreferenceRow]
    evaluate: list[PreferenceRow]


def split_rows(
    votes: Iterable[PreferenceRow],
    *,
    base: Sequence[PreferenceRow] = (),
    held_out: Sequence[PreferenceRow] = (),
    share: float,
) -> Split:
    """Split by prompt.

    A prompt's side is a hash of it, so it never changes between cycles: a version is evaluated on prompts that neither
    it nor the versions it descends from were trained on. Base rows obey the same hash: one that falls to the held-out
    share is left out, since a later vote on its prompt will be used to evaluate.

    Args:
        held_out: rows that are never trained on, whatever their hash says.
        share: fraction of all prompts that is held out; half of these calibrate, half evaluate.
    """
    split = Split([], [], [])
    never = {row.prompt_key for row in held_out}
    for row in held_out:
        (split.calibrate if hash_position(row) < 0.5 else split.evaluate).append(row)
    for row in votes:
        at = hash_position(row)
        if row.prompt_key in never:
            (split.calibrate if at < 0.5 else split.evaluate).append(row)
        elif at < share:
            (split.calibrate if at < share / 2 else split.evaluate).append(row)
        else:
            split.train.append(row)
    split.train.extend(row for row in base if hash_position(row) >= share and row.prompt_key not in never)
    return split


def hash_position(row: PreferenceRow) -> float:
    """Hash a row's normalized prompt to [0, 1): the same on every machine and in every cycle."""
    return int(row.prompt_key[:16], 16) / 2**64


def collect(
    folder: Path, votes: Iterable[PreferenceRow], *, base: Path | None, held_out: Path | None, share: float
) -> Collected:
    """Write the three files of a cycle, unless an interrupted run wrote them already.

    Raises:
        TrainingError: nothing is left to train on, or nothing to calibrate or evaluate on.
    """
    found = Collected.under(folder)
    if found.complete:
        return found
    split = split_rows(
        votes,
        base=load_rows(base) if base else (),
        held_out=load_rows(held_out) if held_out else (),
        share=share,
    )
    for name in ("train", "calibrate", "evaluate"):
        rows: list[PreferenceRow] = getattr(split, name)
        if not rows:
            raise TrainingError(f"no pairs to {name}: more votes on more prompts are needed, or base_data and held_out")
        write_whole(getattr(found, name), "".join(_line(row) for row in _distinct(rows)))
    return found


def _distinct(rows: Sequence[PreferenceRow]) -> Iterable[PreferenceRow]:
    """Yield rows with distinct ids: a vote may have the id of a row of the base data."""
    seen: dict[str, int] = {}
    for row in rows:
        times = seen[row.id] = seen.get(row.id, 0) + 1
        yield row if times == 1 else row.model_copy(update={"id": f"{row.id}#{times}"})


def _line(row: PreferenceRow) -> str:
    return json.dumps(row.model_dump(mode="json", exclude_none=True), ensure_ascii=False) + "\n"
