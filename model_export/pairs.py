"""Labeled pairs as a list of texts to score, and as a digest."""

import hashlib
import json
from collections.abc import Sequence

from plurality.core.pairs import ScoreItem
from plurality.core.rows import PreferenceRow


def pair_items(pairs: Sequence[PreferenceRow]) -> list[ScoreItem]:
    """a, b, a, b, ... in order."""
    return [item for row in pairs for item in row.pair.items]


def pairs_digest(pairs: Sequence[PreferenceRow], *, sources: bool = False) -> str:
    """sha256 of the pairs' content, with their sources where these count: the provenance of a calibration."""
    state = hashlib.sha256()
    for row in pairs:
        prompt = row.context if isinstance(row.context, str) else [[t.role, t.content] for t in row.context]
        content = [prompt, row.response_a, row.response_b, row.preference, *([row.source] if sources else [])]
        state.update(json.dumps(content).encode())
    return state.hexdigest()
