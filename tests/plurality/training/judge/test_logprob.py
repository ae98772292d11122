"""q from log probabilities: the formula, what cancels, and what is no value."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from plurality.core.judge_record import OrderRecord
from plurality.training.judge.errors import BadReply
from plurality.training.judge.logprob import label_place, order_record, position_bias, preference, read_labels

LOGITS = st.floats(-30, 30)
SHARES = st.floats(1e-6, 0.4)


def heard(order: str, logit: float | None) -> OrderRecord:
    return OrderRecord.model_validate({"order": order, "logit": logit})


@given(LOGITS, LOGITS, st.floats(-10, 10))
def test_a_constant_bias_cancels(ab: float, ba: float, bias: float) -> None:
    """q = σ((l₁+l₂)/2) is that of the judge without its bias, and the bias is found."""
    q = preference(heard("ab", ab + bias), heard("ba", ba - bias))
    assert q == pytest.approx(1 / (1 + math.exp(-(ab + ba) / 2)), rel=1e-9)
    found = position_bias(heard("ab", ab + bias), heard("ba", ba - bias))
    assert found == pytest.approx((ab - ba) / 2 + bias, abs=1e-9)


@given(LOGITS, LOGITS)
def test_the_other_way_round_is_the_complement(ab: float, ba: float) -> None:
    """Naming the answers the other way round gives 1 − q."""
    q = preference(heard("ab", ab), heard("ba", ba))
    turned = preference(heard("ab", -ba), heard("ba", -ab))
    assert q is not None
    assert turned == pytest.approx(1 - q, abs=1e-12)


def test_one_order_is_no_judgement() -> None:
    """Half of the evidence holds the position's bias: no q of it."""
    for pair in ((None, 1.0), (1.0, None), (None, None)):
        first, second = heard("ab", pair[0]), heard("ba", pair[1])
        assert preference(first, second) is None
        assert position_bias(first, second) is None


@given(SHARES, SHARES, SHARES, st.sampled_from([" A", "ĠA", "▁A", "A "]))
def test_spellings_of_a_label_are_one(plain: float, spaced: float, other: float, spelling: str) -> None:
    """P(A) is the sum over its tokens; covered is the mass of both labels."""
    assume(plain + spaced + other <= 1)
    top = [("A", math.log(plain)), (spelling, math.log(spaced)), ("B", math.log(other)), ("AB", math.log(0.1))]
    labels = read_labels(top)
    assert labels.logit == pytest.approx(math.log((plain + spaced) / other), abs=1e-9)
    assert labels.covered == pytest.approx(plain + spaced + other)


def test_a_label_that_is_not_listed_has_no_value() -> None:
    """Not in the list, or -9999 as servers write it: unknown, not nought."""
    for top in ([("A", -0.1)], [("A", -0.1), ("B", -9999.0)], []):
        labels = read_labels(top)
        assert labels.logit is None
        assert labels.covered == pytest.approx(math.exp(-0.1) if top else 0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.5])
def test_impossible_log_probabilities_are_errors(value: float) -> None:
    """Wherever in the list, even at a token that is no label."""
    with pytest.raises(BadReply):
        read_labels([("A", -1.0), ("B", -1.0), ("x", value)])
    with pytest.raises(BadReply, match="more than 1"):
        read_labels([("A", 0.0), ("B", 0.0)])


def test_too_little_mass_is_a_refusal() -> None:
    """Below min_covered the order is unreadable, and the mass is still told."""
    labels = read_labels([("A", math.log(0.2)), ("B", math.log(0.1)), ("I", math.log(0.6))])
    refused = order_record("ab", labels, min_covered=0.5)
    assert (refused.logit, refused.unparsable) == (None, 1)
    assert refused.covered == pytest.approx(0.3)
    read = order_record("ba", labels, min_covered=0.3 - 1e-9)
    assert read.unparsable == 0
    assert read.logit == pytest.approx(-math.log(2))
    assert order_record("ab", None, min_covered=0.0).unparsable == 1


@pytest.mark.parametrize(
    ("tokens", "place"),
    [
        (["Choice", ":", " A"], 2), (["Choice:", " ", "B", "\n"], 2), (["'", "Choice", ": ", "A"], 3), (["A"], None),
        ([], None), (["Choice:", " neither", " A"], None), (["The", " Choice:", " A"], None),
    ],
)  # fmt: skip
def test_where_a_generated_label_is(tokens: list[str], place: int | None) -> None:
    """Right after 'Choice:' at the beginning, however it is cut into tokens."""
    assert label_place(tokens) == place
