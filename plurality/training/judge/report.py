"""What a run's judgements are worth: how many there are, the position's bias, agreement with people."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plurality.core.judge_record import JudgeRecord
from plurality.core.rows import PreferenceRow
from plurality.stats.paired import STATISTICS, Resampling, Statistic, figure
from plurality.training.judge import logprob
from plurality.training.judge.run import Outcome
from service.bundle.calibrate import sigmoid

Array = NDArray[np.float64]
Pair = tuple[PreferenceRow, JudgeRecord]
Report = dict[str, Any]
_MOST_DRAWS, _LEAST_DRAWS, _WORK = 1000, 100, 10_000_000
"""Bootstrap draws: fewer over many pairs, where the interval is narrow and a draw takes long."""


def report(rows: Sequence[PreferenceRow], outcomes: Sequence[Outcome]) -> Report:
    """Everything about the judgements that a reader of q should know, as JSON."""
    pairs = [(row, it) for row, it in zip(rows, outcomes, strict=True) if isinstance(it, JudgeRecord)]
    judged = [pair for pair in pairs if pair[1].q is not None]
    covered = [order.covered for _, it in pairs for order in it.orders if order.covered is not None]
    return {
        "pairs": len(rows),
        "judged": len(judged),
        "unjudged": [row.id for row, it in pairs if it.q is None],
        "failed": {
            row.id: it.message for row, it in zip(rows, outcomes, strict=True) if not isinstance(it, JudgeRecord)
        },
        "answers": sum(it.n for _, it in pairs),
        "unparsable": sum(it.unparsable for _, it in pairs),
        "covered": {"mean": float(np.mean(covered)), "least": min(covered)} if covered else None,
        "unanimous": _share([it.q in {0.0, 1.0} for _, it in judged]),
        "position": _position(judged),
        "people": _people(judged),
        "labels": _labels(judged),
    }


def _position(judged: Sequence[Pair]) -> Report:
    """P(the answer shown first wins), 0.5 without bias; needs both orders, or it is mixed up with the data's order."""
    both = [(row, it) for row, it in judged if len(it.orders) == 2]
    if not both:
        return {"undefined": "both orders are needed"}
    wins = np.array([_first_wins(it) for _, it in both])
    found = _interval(lambda shown, _: float(np.mean(shown)), wins, wins, both)
    biases = [bias for _, it in both if (bias := logprob.position_bias(*it.orders)) is not None]
    flips = [(ab - 0.5) * (ba - 0.5) < 0 for _, it in both for ab, ba in [_by_order(it)]]
    return {
        "first_shown_wins": found,
        "logit_bias": float(np.mean(biases)) if biases else None,
        "flipped_by_order": _share(flips),
        "pairs": len(both),
    }


def _by_order(it: JudgeRecord) -> tuple[float, float]:
    """P(a preferred) as heard in the order ab, and in the order ba."""
    ab, ba = (sigmoid(order.logit) if order.logit is not None else order.a / (order.a + order.b) for order in it.orders)
    return ab, ba


def _first_wins(it: JudgeRecord) -> float:
    ab, ba = _by_order(it)
    return 0.5 * (ab + 1.0 - ba)


def _people(judged: Sequence[Pair]) -> Report | None:
    """Agreement of q with the share of people, where p* or votes are known."""
    known = [(row, it) for row, it in judged if row.true_preference is not None or row.votes]
    if not known:
        return None
    q = np.array([it.q for _, it in known], dtype=np.float64)
    p = np.array([row.preference if row.true_preference is None else row.true_preference for row, _ in known])
    return {
        "pairs": len(known),
        "pearson": _interval(STATISTICS["pearson"], q, p, known),
        "l1": _interval(STATISTICS["l1"], q, p, known),
        "accuracy": _interval(STATISTICS["accuracy"], q, p, known),
    }


def _labels(judged: Sequence[Pair]) -> Report:
    """Against the rows' labels, each one annotator's choice: what the margin objective pushes against."""
    q = np.array([it.q for _, it in judged], dtype=np.float64)
    label = np.array([row.label for row, _ in judged])
    if not judged:
        return {"undefined": "no judgements"}
    return {
        "accuracy": _interval(STATISTICS["accuracy"], q, label, judged),
        "contradicted": _share([bool((a - 0.5) * (b - 0.5) < 0) for a, b in zip(q, label, strict=True)]),
    }


def _interval(statistic: Statistic, values: Array, target: Array, pairs: Sequence[Pair]) -> Report:
    """A statistic with its 95 % interval over whole prompts; the cause where it, or its interval, does not exist."""
    draws = min(_MOST_DRAWS, max(_LEAST_DRAWS, _WORK // len(pairs)))
    found = figure(statistic, values, target, [row.context for row, _ in pairs], Resampling(draws))
    if found.estimate is None:
        return {"undefined": found.note}
    if found.low is None:
        return {"value": found.estimate, "no_interval": found.note}
    return {"value": found.estimate, "low": found.low, "high": found.high}


def _share(flags: Sequence[bool]) -> float | None:
    return float(np.mean(flags)) if flags else None


def lines(report: Report) -> list[str]:
    """For people."""
    position, people, labels = report["position"], report["people"], report["labels"]
    failed, unjudged = len(report["failed"]), len(report["unjudged"])
    text = [
        f"judged {report['judged']} of {report['pairs']} pairs; {unjudged} without a readable answer, {failed} failed; "
        f"{report['unparsable']} of {report['answers']} answers unparsable"
    ]
    if report["covered"]:
        text.append(f"covered mass: mean {report['covered']['mean']:.3f}, least {report['covered']['least']:.3f}")
    if report["unanimous"]:
        text.append(f"unanimous (margin 1): {report['unanimous']:.1%} of the judged pairs")
    if "undefined" in position:
        text.append(f"position bias: unknown ({position['undefined']})")
    else:
        logit = "" if position["logit_bias"] is None else f", {position['logit_bias']:+.3f} logits"
        flips = f"{position['flipped_by_order']:.1%} flip with the order"
        text.append(f"position bias: the first shown wins {_show(position['first_shown_wins'])}{logit}; {flips}")
    if people:
        text.append(
            f"people ({people['pairs']} pairs): Pearson {_show(people['pearson'])}, L1 {_show(people['l1'])}, "
            f"accuracy {_show(people['accuracy'])}"
        )
    if "undefined" not in labels:
        text.append(f"labels: accuracy {_show(labels['accuracy'])}, contradicted {labels['contradicted']:.1%}")
    return text


def _show(found: Report) -> str:
    if "undefined" in found:
        return f"undefined ({found['undefined']})"
    if "low" not in found:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
