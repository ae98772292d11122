"""Runs on disk: settings, seconds and the rewards of what was held out. A finished run is not made again."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORK = Path(".bench/studies")


@dataclass(frozen=True, slots=True)
class Run:
    """One trained model, as its rewards."""

    name: str
    settings: dict[str, Any]
    reward: dict[str, float]
    """By text id; held-out texts only."""
    seconds: float
    log: dict[str, list[float]] = field(default_factory=dict)
    """By step: loss, and with MORE λ of each source."""
    data: str = ""
    """Digest of what it was trained on and of what it held out."""

    def of(self, pairs: list[tuple[str, str]]) -> NDArray[np.float64]:
        """Rewards of both texts of each pair, shape [B, 2]."""
        return np.array([[self.reward[a], self.reward[b]] for a, b in pairs], dtype=np.float64).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class Store:
    """The runs of one study."""

    folder: Path

    def run(self, name: str, settings: Any, data: str, make: Callable[[], Run]) -> Run:
        """The run of this name, these settings and this data: as it is kept, or made."""
        kept = self.get(name)
        if kept is not None and (kept.settings, kept.data) == (as_json(settings), data):
            return kept
        made = replace(make(), data=data)
        self._keep(made)
        return made

    def get(self, name: str) -> Run | None:
        """A finished run, or None."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            return None
        about = read_json(path)
        with np.load(path.with_suffix(".npz")) as arrays:
            reward = dict(zip(arrays["text"].tolist(), arrays["reward"].astype(float).tolist(), strict=True))
        return Run(name, about["settings"], reward, about["seconds"], about["log"], about["data"])

    def _keep(self, run: Run) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{run.name}.json"
        path.unlink(missing_ok=True)
        np.savez_compressed(
            path.with_suffix(".npz"), text=np.array(list(run.reward)), reward=np.array(list(run.reward.values()))
        )
        about = {"settings": run.settings, "data": run.data, "seconds": run.seconds, "log": run.log}
        replace_json(path, about)


def as_json(settings: Any) -> dict[str, Any]:
    """A dataclass as it reads back from JSON."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return found


def read_json(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def replace_json(path: Path, value: Any) -> None:
    """The file appears only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value), encoding="utf-8")
    partial.replace(path)
