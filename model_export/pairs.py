"""Labeled pairs, as far as export and calibration care."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from service.domain import Prompt, ScoreItem


@dataclass(frozen=True, slots=True)
class LabeledPair:
    """Two responses to one prompt, and how much the first is preferred."""

    prompt: Prompt
    response_a: str
    response_b: str
    label: float
    """P(a preferred) in [0, 1]: a vote fraction where there are votes, else one annotator's 0 or 1."""
    source: str | None = None
    """Where the prompt is from."""

    @property
    def items(self) -> tuple[ScoreItem, ScoreItem]:
        return ScoreItem(self.prompt, self.response_a), ScoreItem(self.prompt, self.response_b)


def pair_items(pairs: Sequence[LabeledPair]) -> list[ScoreItem]:
    """a, b, a, b, ... in order."""
    return [item for pair in pairs for item in pair.items]


def pairs_digest(pairs: Sequence[LabeledPair], *, sources: bool = False) -> str:
    """sha256 of the pairs' content, with their sources where these count: the provenance of a calibration."""
    state = hashlib.sha256()
    for pair in pairs:
        prompt = pair.prompt if isinstance(pair.prompt, str) else [[t.role, t.content] for t in pair.prompt]
        content = [prompt, pair.response_a, pair.response_b, pair.label, *([pair.source] if sources else [])]
        state.update(json.dumps(content).encode())
    return state.hexdigest()
