"""`plurality` with the pin removed: a request is scored in parts, each by whatever version is served at that moment.

The negative control of `test_versions.py`: a checker that does not catch this checks nothing.
"""

from dataclasses import replace

from plurality.cli.app import app
from service.domain import ScoreQuery
from service.scoring import Scored, Scorer

_PART = 16
_score = Scorer.score


async def score_in_parts(self: Scorer, query: ScoreQuery) -> Scored:
    """As `Scorer.score`, but for the pin."""
    starts = range(0, len(query.items), _PART)
    parts = [await _score(self, replace(query, items=query.items[start : start + _PART])) for start in starts]
    return replace(parts[0], outcomes=[outcome for part in parts for outcome in part.outcomes])


if __name__ == "__main__":
    Scorer.score = score_in_parts  # type: ignore[method-assign]
    app()
