"""Never an invented reward: what a reply lacks, cuts short or spoils is an error."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plurality_client import Client, replies
from plurality_client.errors import BadReply, ItemFailed, PluralityClientError, Unavailable

from tests.client.scripted import (
    DIGEST,
    Answer,
    Asked,
    FakeTime,
    ScriptedServer,
    error,
    failed,
    item,
    model,
    reply,
    scored,
)

THREE = [("p", "1"), ("p", "2"), ("p", "3")]
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["items", "model", "reward", "error", "a"]), inner),
    max_leaves=20,
)
SPOILT = [
    reply(items=[item(1.0), item(2.0)]),
    reply(items=[item(1.0)] * 4),
    reply(items=[]),
    reply(),
    reply(items=None),
    reply(items=[1.0, 2.0, 3.0]),
    reply(items=[item(1.0), item(None), item(3.0)]),
    reply(items=[item(1.0), item(float("nan")), item(3.0)]),
    reply(items=[item(1.0), item(float("-inf")), item(3.0)]),
    reply(items=[item(1.0), item("2"), item(3.0)]),
    reply(items=[item(1.0), item(True), item(3.0)]),
    reply(items=[item(1.0), item(10**400), item(3.0)]),
    reply(items=[item(1.0), {**failed(), "reward": 0.0}, item(3.0)]),
    reply(items=[item(1.0), {**item(2.0), "truncated": None}, item(3.0)]),
    reply(items=[item(1.0), {"reward": 2.0}, item(3.0)]),
    Answer(body={"request_id": "r", "items": [item(1.0)] * 3}),
    Answer(body={"request_id": "r", "model": {**model(), "version": None}, "items": [item(1.0)] * 3}),
    Answer(body=b""),
    Answer(body=b"[]"),
    Answer(body=b"1" * 5000),
    Answer(body=b"[" * 100_000),
    Answer(body=b"\xff"),
]


@pytest.mark.parametrize("answer", SPOILT)
def test_a_spoilt_reply_has_no_rewards(scripted: ScriptedServer, answer: Answer) -> None:
    """It raises, or is three times None with the reason; no number of it is used."""
    scripted.script = lambda _: answer
    with Client(scripted.url) as client:
        with pytest.raises(BadReply):
            client.score(THREE)
        scores = client.score(THREE, on_failure="none")
    assert scores.rewards == [None] * 3
    assert {failure.code for failure in scores.failures.values()} == {"bad_reply"}


@given(JSON)
def test_no_json_is_mistaken_for_rewards(value: Any) -> None:
    """Anything in the items' place is finite rewards or reasons, one for each, or BadReply."""
    try:
        items = replies.scores({"request_id": "r", "model": model(), "items": value}, 2).items
    except BadReply:
        return
    assert len(items) == 2
    assert all((one.reward is None) == (one.error is not None) for one in items)


def test_an_item_s_own_error_raises(scripted: ScriptedServer) -> None:
    """With its place in the call, whatever request it was in."""
    items = [item(1.0), failed()]
    scripted.answers(scored, reply(items=items))
    with Client(scripted.url, items_per_request=2) as client:
        with pytest.raises(ItemFailed, match="1 of 4 items failed; the first, item 3") as caught:
            client.score([*THREE, ("p", "4")])
        assert (caught.value.index, caught.value.code) == (3, "non_finite_reward")
        assert (client.counts.items, client.counts.failed) == (4, 1)


def test_an_item_s_own_error_is_none_with_its_reason(scripted: ScriptedServer) -> None:
    """The others keep their rewards."""
    scripted.answers(reply(items=[item(1.0), failed(), item(3.0)]))
    with Client(scripted.url, on_failure="none") as client:
        scores = client.score(THREE)
    assert scores.rewards == [1.0, None, 3.0]
    assert scores.failures[1].message == "the model answered NaN"


def test_a_request_that_failed_is_none_for_its_items_alone(scripted: ScriptedServer) -> None:
    """Of three requests the middle one fails for good; the reason stands at its items."""

    def script(asked: Asked) -> Answer:
        return error(422, "text_too_long") if asked.body["items"][0]["response"] == "2" else scored(asked)

    scripted.script = script
    with Client(scripted.url, on_failure="none", items_per_request=1) as client:
        scores = client.score(THREE)
        assert scores.rewards == [1.0, None, 3.0]
        assert scores.failures[1].code == "text_too_long"
        with pytest.raises(PluralityClientError, match="text_too_long"):
            client.score(THREE, on_failure="raise")


def test_neighbors_do_not_pay(scripted: ScriptedServer) -> None:
    """A request that one text spoils is asked again in halves, of one version, until that text stands alone."""

    def script(asked: Asked) -> Answer:
        return error(422) if any(one["response"] == "5" for one in asked.body["items"]) else scored(asked)

    scripted.script = script
    with Client(scripted.url, on_failure="none") as client:
        scores = client.score([("p", str(place)) for place in range(8)])
    assert scores.rewards == [0, 1, 2, 3, 4, None, 6, 7]
    assert [len(asked.body["items"]) for asked in scripted.asked] == [8, 4, 4, 2, 1, 1, 2]
    assert {asked.body.get("model") for asked in scripted.asked[2:]} == {f"tiny@{DIGEST}"}


def test_an_outage_is_none_for_all(scripted: ScriptedServer) -> None:
    """Nobody answers: no version, no rewards, and the reason for each."""
    scripted.script = lambda _: error(503, "overloaded")
    with Client(scripted.url, on_failure="none", timing=FakeTime().timing) as client:
        scores = client.score(THREE)
    assert (scores.model, scores.rewards) == (None, [None] * 3)
    assert scores.failures[2].code == "overloaded"


def test_truncation_is_visible_and_counted(scripted: ScriptedServer) -> None:
    """An item that was cut says so, and so does the client in the end."""
    cut = {**item(2.0), "truncated": True, "cut_tokens": 7}
    scripted.answers(reply(items=[item(1.0), cut, item(3.0)]))
    with Client(scripted.url) as client:
        scores = client.score(THREE)
        assert (scores.items[1].truncated, scores.items[1].cut_tokens, scores.truncated) == (True, 7, 1)
        assert (client.counts.items, client.counts.truncated) == (3, 1)


def pair(**fields: Any) -> dict[str, Any]:
    """A compared pair."""
    good = {"probability": 0.75, "raw_probability": 0.8, "reward_diff": 1.0, "expected_disagreement": 0.5}
    return {**good, "a": item(2.0), "b": item(1.0), **fields}


NO_NUMBERS = dict.fromkeys(("probability", "raw_probability", "reward_diff", "expected_disagreement"))


def test_a_pair_without_both_rewards_has_no_probability(scripted: ScriptedServer) -> None:
    """It raises, or is None with the failed side's reason."""
    scripted.script = lambda _: reply(pairs=[pair(), pair(**NO_NUMBERS, b=failed())])
    pairs = [("p", "a", "b")] * 2
    with Client(scripted.url) as client:
        with pytest.raises(ItemFailed, match="item 1"):
            client.preference(pairs)
        compared = client.preference(pairs, on_failure="none")
    assert compared.probabilities == [0.75, None]
    assert compared.failures[1].code == "non_finite_reward"


@pytest.mark.parametrize(
    "spoilt",
    [pair(probability=1.5), pair(probability=None), pair(reward_diff=float("inf")), pair(b=failed()), pair(a=None), {}],
)
def test_a_spoilt_pair_is_a_bad_reply(scripted: ScriptedServer, spoilt: dict[str, Any]) -> None:
    """A number that cannot be, or one beside an error."""
    scripted.answers(reply(pairs=[spoilt]))
    with Client(scripted.url) as client, pytest.raises(BadReply):
        client.preference([("p", "a", "b")])


RANKED = {"items": [item(1.0), failed(), item(3.0)], "order": [2, 0], "weights": [0.3, None, 0.7]}


def test_a_ranking_leaves_out_what_has_no_reward(scripted: ScriptedServer) -> None:
    """With None allowed; otherwise it raises. A request that failed always raises."""
    scripted.script = lambda _: reply(**RANKED)
    with Client(scripted.url, timing=FakeTime().timing) as client:
        ranking = client.rank("p", ["a", "b", "c"], on_failure="none")
        assert (ranking.order, ranking.weights) == ((2, 0), (0.3, None, 0.7))
        with pytest.raises(ItemFailed):
            client.rank("p", ["a", "b", "c"])
        scripted.script = lambda _: error(500)
        with pytest.raises(Unavailable):
            client.rank("p", ["a", "b", "c"], on_failure="none")


@pytest.mark.parametrize(
    "spoilt",
    [
        {"order": [2]},
        {"order": [2, 1]},
        {"order": [0, 0]},
        {"order": [2.0, "0"]},
        {"weights": [0.3, 0.0, 0.7]},
        {"weights": [0.3, None]},
        {"weights": [None, None, 1.0]},
        {"advantages": None},
        {"advantages": [0.1, None, float("nan")]},
        {"win_matrix": [[0.5]]},
        {"win_matrix": [[0.5, None, "x"]] * 3},
    ],
)
def test_a_spoilt_ranking_is_a_bad_reply(scripted: ScriptedServer, spoilt: dict[str, Any]) -> None:
    """Every scored response once in the order, and one number each."""
    good = {"advantages": [0.1, None, 0.2], "win_matrix": [[0.5, None, 0.1], [None] * 3, [0.9, None, 0.5]]}
    scripted.answers(reply(**{**RANKED, **good, **spoilt}))
    with Client(scripted.url, on_failure="none") as client, pytest.raises(BadReply):
        client.rank("p", ["a", "b", "c"], win_matrix=True, advantages=True)
