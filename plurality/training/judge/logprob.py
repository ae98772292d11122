"""q from the log probabilities of one token, asked in both orders. Pure.

    l₁ = logit P(A | y_a, y_b),  l₂ = logit P(B | y_b, y_a): both are evidence for a
    q = σ((l₁ + l₂) / 2),  position bias b = (l₁ − l₂) / 2

A constant bias for the label A or for the answer shown first adds c to l₁ and −c to l₂, so it cancels in q
(debiasing in logit space as in contextual calibration, arXiv 2102.09690). One token's exact probabilities need no
sampling: E|2k/n − 1| over n = 10 samples is 0.246 where q = 1/2, not 0.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from plurality.core.judge_record import OrderRecord
from plurality.training.judge.errors import BadReply
from plurality.training.judge.prompt import ANSWER_START
from service.bundle.calibrate import sigmoid

Top = Sequence[tuple[str, float]]
"""Token texts and log probabilities at one place, as the endpoint lists them."""
ABSENT = -9999.0
"""What OpenAI and vLLM write for "too unlikely to list": not a value."""
_SPACE = " \n\tĠ▁"
_ROUNDING = 1e-3
_START = re.compile(rf"\W*(?i:{re.escape(ANSWER_START)})\W*")


@dataclass(frozen=True, slots=True)
class Labels:
    """What the judge thinks of the labels A and B."""

    logit: float | None
    """log P(A) − log P(B); None if one of them was not listed."""
    covered: float
    """P(A) + P(B) before they are renormalized."""


def check_logprobs(top: Top) -> None:
    """Raises BadReply for what cannot be a log probability; servers do send such when a model overflows."""
    for _, value in top:
        if not math.isfinite(value) or value > _ROUNDING:
            raise BadReply(f"the endpoint's log probabilities hold {value}")


def read_labels(top: Top) -> Labels:
    """Mass of every token that is the label but for white space (" A" and "A" both say A)."""
    check_logprobs(top)
    a = _log_sum([value for token, value in top if token.strip(_SPACE) == "A" and value > ABSENT])
    b = _log_sum([value for token, value in top if token.strip(_SPACE) == "B" and value > ABSENT])
    covered = sum(math.exp(value) for value in (a, b) if value is not None)
    if covered > 1 + _ROUNDING:
        raise BadReply("the endpoint's log probabilities sum to more than 1")
    return Labels(None if a is None or b is None else a - b, min(covered, 1.0))


def label_place(tokens: Sequence[str]) -> int | None:
    """Which of a generated answer's tokens is the label: the one after 'Choice:'; None if the answer has none.

    What was generated before it, quotation marks and all, is part of what its probabilities depend on.
    """
    before = ""
    for place, token in enumerate(tokens):
        if _START.fullmatch(before) and token.strip(_SPACE) in {"A", "B"}:
            return place
        before += token
    return None


def order_record(order: str, labels: Labels | None, *, min_covered: float) -> OrderRecord:
    """One order's record, its logit turned to speak of a; too little covered mass is unreadable."""
    covered = None if labels is None else labels.covered
    if labels is None or labels.logit is None or labels.covered < min_covered:
        return OrderRecord.model_validate({"order": order, "unparsable": 1, "covered": covered})
    towards_a = labels.logit if order == "ab" else -labels.logit
    return OrderRecord.model_validate({"order": order, "logit": towards_a, "covered": covered})


def preference(first: OrderRecord, second: OrderRecord) -> float | None:
    """q = σ((l₁ + l₂)/2); None unless both orders could be read, since one alone holds the position's bias."""
    if first.logit is None or second.logit is None:
        return None
    return sigmoid(0.5 * (first.logit + second.logit))


def position_bias(first: OrderRecord, second: OrderRecord) -> float | None:
    """b = (l₁ − l₂)/2, in logits: above 0 the answer shown first gains.

    Args:
        first: the order ab.
        second: the order ba.
    """
    if first.logit is None or second.logit is None:
        return None
    return 0.5 * (first.logit - second.logit)


def _log_sum(values: Sequence[float]) -> float | None:
    """log Σ exp, None of nothing."""
    if not values:
        return None
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))
