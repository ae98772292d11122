"""Tests of service/drift/window.py."""

import gc
from collections.abc import Sequence
from dataclasses import fields
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import Item, Message, Outcome, RawText, RawTokens, Reward, ScoreItem
from service.drift.window import Window, WindowSnapshot
from service.errors import InferenceFailed
from service.settings.groups import WatchSettings

SMALL = WatchSettings(size=64, min_items=20)
steady = settings(max_examples=60)
requests = st.lists(
    st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.floats(-5, 5))), max_size=12), max_size=40
)


def noted(stories: Sequence[Sequence[tuple[str, float | None]]], *, std: float = 1.0) -> WindowSnapshot:
    """A window that saw these requests: (prompt, reward or an error of its own) each."""
    window = Window(SMALL, reference_std=std, close=lambda: None)
    for story in stories:
        outcomes: list[Outcome] = [
            InferenceFailed("no") if value is None else Reward(value, 10, 0) for _, value in story
        ]
        window.note([ScoreItem(prompt, "r") for prompt, _ in story], outcomes)
    return window.snapshot()


@steady
@given(requests)
def test_the_window_holds_the_last_rewards_in_order(stories: list[list[tuple[str, float | None]]]) -> None:
    """Bounded, in order, without the items that have no reward; everything that was noted is counted."""
    view = noted(stories)
    rewards = [value for story in stories for _, value in story if value is not None]
    assert [row[0] for row in view.rows] == rewards[-64:]
    assert view.noted == len(rewards)
    assert len(view.first) in {0, 64}
    assert (len(view.first) == 64) == (len(rewards) >= 64)
    assert view.fresh <= len(view.rows)
    if view.first:
        later = [row[0] for row in view.rows[len(view.rows) - view.fresh :]]
        first = [row[0] for row in view.first]
        assert rewards[: len(rewards) - len(later)][-64:] == first or view.fresh == 64


@steady
@given(requests)
def test_groups_are_the_prompts_of_one_request(stories: list[list[tuple[str, float | None]]]) -> None:
    """Two or more rewards to one prompt in one request, wherever they stand; numpy's sample std."""
    view = noted(stories)
    spreads = []
    for story in stories:
        for prompt in dict.fromkeys(prompt for prompt, value in story if value is not None):
            rewards = [value for other, value in story if other == prompt and value is not None]
            if len(rewards) > 1:
                spreads.append(float(np.std(rewards, ddof=1)))
    assert view.groups == len(spreads)
    assert view.collapsed == sum(spread <= 0.01 for spread in spreads)
    assert list(view.spreads) == pytest.approx(spreads[len(spreads) - len(view.spreads) :], abs=1e-9)


def test_spreads_leave_with_their_rewards() -> None:
    """A group whose rewards have left the window is no longer in its spread."""
    group = [("p", 0.0), ("p", 3.0)]
    assert len(noted([group]).spreads) == 1
    assert noted([group, *[[("q", 0.0)]] * 64]).spreads == ()


def test_equal_rewards_collapse_whatever_the_unit() -> None:
    """Below one hundredth of the reference's std is collapsed; a reference without spread leaves exact equality."""
    group = [("p", 1.0), ("p", 1.02)]
    assert noted([group], std=1.0).collapsed == 0
    assert noted([group], std=10.0).collapsed == 1
    assert noted([group], std=0.0).collapsed == 0
    assert noted([[("p", 1.0), ("p", 1.0)]], std=0.0).collapsed == 1


@pytest.mark.parametrize(
    ("item", "tokens"),
    [
        (ScoreItem("aaaa", "bbbbbb"), 60.0),
        (ScoreItem((Message("user", "aaaa"),), "bbbbbb"), 60.0),
        (ScoreItem("", ""), 0.0),
        (RawText("aaaabbbbbb", special_tokens=True, prompt="aaaa"), 60.0),
        (RawText("aaaabbbbbb", special_tokens=True), 100.0),
        (RawTokens((1, 2, 3)), 100.0),
    ],
)
def test_the_length_of_a_response(item: Item, tokens: float) -> None:
    """Its share of the item's characters, of all tokens, those that were cut included."""
    window = Window(SMALL, reference_std=1.0, close=lambda: None)
    window.note([item], [Reward(0.5, 70, 30)])
    [(reward, length, cut)] = window.snapshot().rows
    assert (reward, cut) == (0.5, 30)
    assert length == pytest.approx(tokens)


def test_no_text_is_kept() -> None:
    """Neither prompts nor responses can be reached from a window."""
    prompt, response = "secret prompt " * 3, "secret response " * 3
    window = Window(SMALL, reference_std=1.0, close=gc.enable)  # which, unlike a lambda, leads to no test's texts
    for _ in range(70):
        window.note([ScoreItem(prompt, response)] * 2, [Reward(0.0, 9, 0)] * 2)
    reached, waiting = {}, [window]
    while waiting:
        entry = waiting.pop()
        if id(entry) not in reached and not isinstance(entry, type | ModuleType):
            reached[id(entry)] = entry
            waiting += gc.get_referents(entry)
    assert 70 < len(reached) < 10_000
    assert not any(isinstance(entry, str) and "secret" in entry for entry in reached.values())
    assert {field.name for field in fields(WindowSnapshot)} == {
        "rows", "first", "fresh", "spreads", "noted", "groups", "collapsed",
    }  # fmt: skip
