"""Where the study keeps its things: all of it may be deleted, and what is there is not made again."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORK = Path(".bench/rlhf")


@dataclass(frozen=True, slots=True)
class Folder:
    """The work folder's layout."""

    root: Path = WORK

    @property
    def environment(self) -> Path:
        """The virtual environment with TRL."""
        return self.root / "environment"

    @property
    def data(self) -> Path:
        """Pairs of the reward model; prompts and texts of the policy."""
        return self.root / "data"

    @property
    def prompts(self) -> Path:
        """Training and held-out prompts with their possible responses."""
        return self.data / "prompts.json"

    @property
    def demonstrations(self) -> Path:
        """What the policy learns to speak from."""
        return self.data / "demonstrations.jsonl"

    @property
    def store(self) -> Path:
        """The store that is served."""
        return self.root / "store"

    @property
    def policy(self) -> Path:
        """The start policy, after supervised training."""
        return self.root / "policy"

    def run(self, name: str, seed: int) -> Path:
        """One training run's folder."""
        return self.root / "runs" / f"{name}-{seed}"


def write_json(path: Path, value: Any) -> None:
    """The file appears only when it is whole."""
    _appear(path, json.dumps(value, ensure_ascii=False))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """As `write_json`, a row a line."""
    _appear(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """A JSON value a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _appear(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
