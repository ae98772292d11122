"""q from sampled answers (arXiv 2412.03822, eq. 2: the share of n judgements that prefer one answer). Pure."""

import hashlib
from collections.abc import Sequence

from plurality.core.judge_record import Order, OrderRecord
from plurality.training.judge.prompt import parse_choice

_SEED_BITS = 31


def count_answers(order: Order, answers: Sequence[str]) -> OrderRecord:
    """Count the choices; the label A is the answer shown first."""
    labels = [parse_choice(text) for text in answers]
    first, second = labels.count("A"), labels.count("B")
    a, b = (first, second) if order == "ab" else (second, first)
    return OrderRecord(order=order, a=a, b=b, unparsable=labels.count(None))


def preference(orders: Sequence[OrderRecord]) -> float | None:
    """Mean over the orders of the share that chose a: with as many answers in each, k/n of eq. 2.

    Unreadable answers are left out, not counted as ties. None if an order has no readable answer: the other order
    alone would hold the position's bias.
    """
    if not orders or any(order.a + order.b == 0 for order in orders):
        return None
    return sum(order.a / (order.a + order.b) for order in orders) / len(orders)


def request_seed(seed: int, text: str, draw: int) -> int:
    """Derive the seed of one request, below 2³¹, from the run's.

    Args:
        seed: of the run.
        text: the prompt.
        draw: number of the request's first answer among those of this prompt.
    """
    digest = hashlib.sha256(f"{seed}\n{draw}\n{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)
