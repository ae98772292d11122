"""q from sampled answers: the paper's share where orders are equal, nothing where an order is silent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plurality.core.judge_record import OrderRecord
from plurality.training.judge.sample import count_answers, preference, request_seed
from plurality.training.judge.settings import JudgeSettings

ANSWERS = st.lists(st.sampled_from(["Choice: A", "Choice: B", "no"]), max_size=12)


@given(ANSWERS)
def test_every_answer_is_counted_once(answers: list[str]) -> None:
    """In the order ba the label A is the answer b."""
    ab, ba = count_answers("ab", answers), count_answers("ba", answers)
    assert (ab.a, ab.b, ab.unparsable) == (ba.b, ba.a, ba.unparsable)
    assert ab.a + ab.b + ab.unparsable == len(answers)
    assert ab.a == answers.count("Choice: A")


@given(st.integers(1, 20), st.data())
def test_equal_orders_give_the_papers_share(count: int, data: st.DataObject) -> None:
    """k/n of arXiv 2412.03822, eq. 2."""
    first, second = data.draw(st.integers(0, count)), data.draw(st.integers(0, count))
    orders = [OrderRecord(order="ab", a=first, b=count - first), OrderRecord(order="ba", a=second, b=count - second)]
    assert preference(orders) == pytest.approx((first + second) / (2 * count))
    assert preference(orders[:1]) == first / count


def test_a_silent_order_gives_no_q() -> None:
    """Unparsable answers are left out; an order of nothing else leaves nothing."""
    heard, silent = OrderRecord(order="ab", a=3, b=1, unparsable=1), OrderRecord(order="ba", unparsable=5)
    assert preference([heard, silent]) is None
    assert preference([silent]) is None
    assert preference([]) is None
    assert preference([heard]) == 0.75


def test_how_many_answers_in_each_order() -> None:
    """5 + 5 by default, all in the row's order as in the paper."""
    draws = [JudgeSettings(model="m", mode="sample", n=n).draws() for n in (10, 7, 1)]
    assert draws == [{"ab": 5, "ba": 5}, {"ab": 4, "ba": 3}, {"ab": 1, "ba": 0}]
    assert JudgeSettings(model="m", mode="sample", orders="paper").draws() == {"ab": 10}


@given(st.integers(), st.text(), st.integers(0, 10))
def test_seeds_are_reproducible_and_fit(seed: int, text: str, draw: int) -> None:
    """Below 2³¹, the same for the same question, another for the next one."""
    made = request_seed(seed, text, draw)
    assert 0 <= made < 2**31
    assert made == request_seed(seed, text, draw)
    assert len({request_seed(seed, text + end, draw + more) for end in ("", "x") for more in (0, 1)}) == 4
