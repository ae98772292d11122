"""The canonical row: what it takes and what it refuses."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from plurality.core.pairs import Message, Prompt, ResponsePair
from plurality.core.rows import ComparedRow, PreferenceRow, Votes
from tests.plurality.training.data import row

exact = hypothesis_settings(max_examples=200)
counts = st.integers(0, 50)
TURNS = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]


@pytest.mark.parametrize("label", [0, 0.0, 0.25, 0.5, 1, 1.0])
def test_label_range(label: float) -> None:
    """Any fraction is a label, both ends included."""
    assert row(label=label).label == label


@pytest.mark.parametrize("field", ["label", "margin", "true_preference"])
@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf, -math.inf, "1", True, [1.0]])
def test_fraction_refused(field: str, value: Any) -> None:
    """What is not a finite number in [0, 1] is no label, no margin and no true preference."""
    with pytest.raises(ValidationError) as caught:
        row(**{field: value})
    assert caught.value.errors()[0]["loc"] == (field,)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"lable": 1.0}, ("lable",)),
        ({"votes": {"a": 1, "b": 0, "c": 2}}, ("votes", "c")),
        ({"prompt": None, "messages": [{"role": "user", "content": "u", "name": "n"}]}, ("messages", 0, "name")),
    ],
)
def test_schema_closed(changes: dict[str, Any], place: tuple[str | int, ...]) -> None:
    """An unknown field is refused at every level, by name."""
    with pytest.raises(ValidationError) as caught:
        row(**changes)
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("extra_forbidden", place)]


@pytest.mark.parametrize("field", ["response_a", "response_b", "label"])
def test_needed_fields(field: str) -> None:
    """Both responses and the label are needed."""
    with pytest.raises(ValidationError) as caught:
        row(**{field: None})
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("missing", (field,))]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"messages": TURNS}, "give either prompt or messages"),
        ({"prompt": None}, "give either prompt or messages"),
        ({"prompt": None, "messages": []}, "messages is empty"),
    ],
)
def test_one_prompt(changes: dict[str, Any], message: str) -> None:
    """A row has a prompt or messages: not both, not neither, not an empty conversation."""
    with pytest.raises(ValidationError, match=message):
        row(**changes)


def test_unknown_role_refused() -> None:
    """A role that the service does not know is refused."""
    with pytest.raises(ValidationError, match=r"messages\.0\.role"):
        row(prompt=None, messages=[{"role": "tool", "content": "u"}])


def test_context() -> None:
    """A conversation becomes the service's messages; an empty prompt stays a prompt."""
    assert row(prompt=None, messages=TURNS).context == (Message("system", "s"), Message("user", "u"))
    assert row(prompt="").context == ""


def test_votes_all_zero_refused() -> None:
    """Votes of nobody are refused, with the cure."""
    with pytest.raises(ValidationError, match="leave the field out"):
        row(votes={"a": 0, "b": 0})


@pytest.mark.parametrize("votes", [{"a": -1, "b": 2}, {"a": 1.5, "b": 1}, {"a": True, "b": 1}, {"a": 1}])
def test_votes_are_counts(votes: dict[str, Any]) -> None:
    """Votes are counts, both given."""
    with pytest.raises(ValidationError):
        row(votes=votes)


@exact
@given(counts, counts, counts)
def test_fraction_with_ties(a: int, b: int, tie: int) -> None:
    """A tie is half a vote for each: the fractions of both orders sum to 1, and lie in [0, 1]."""
    if a + b + tie == 0:
        return
    forward, backward = Votes(a=a, b=b, tie=tie), Votes(a=b, b=a, tie=tie)
    assert forward.fraction_a == pytest.approx((a + tie / 2) / (a + b + tie), abs=1e-15)
    assert forward.fraction_a + backward.fraction_a == pytest.approx(1.0, abs=1e-15)
    assert 0.0 <= forward.fraction_a <= 1.0


def test_preference() -> None:
    """Votes say more than one label; without votes the label stands."""
    assert row(label=0.0, votes={"a": 3, "b": 1}).preference == 0.75
    assert row(label=0.0, votes={"a": 1, "b": 1, "tie": 2}).preference == 0.5
    assert row(label=0.0, margin=1.0).preference == 0.0


@pytest.mark.parametrize("prompt", ["p", (Message("system", "s"), Message("user", "p"))])
def test_a_pair_becomes_a_row(prompt: Prompt) -> None:
    """A row is made of a pair, plain prompt or conversation, and gives the same pair back."""
    pair = ResponsePair(prompt, "a", "b")
    assert PreferenceRow.of(pair, id="1", label=1.0).pair == pair


def test_frozen() -> None:
    """A row does not change."""
    with pytest.raises(ValidationError):
        row().label = 0.0  # type: ignore[misc]


def test_json_round_trip() -> None:
    """A row written as JSON reads back equal."""
    full = row(prompt=None, messages=TURNS, votes={"a": 1, "b": 2, "tie": 3}, category="c", true_preference=0.5)
    assert PreferenceRow.model_validate_json(full.model_dump_json()) == full


def test_only_the_label_tells_a_labeled_row() -> None:
    """A row without a label can be compared, not trained on; the other fields are the same, in the same order."""
    unlabeled = {"id": "1", "prompt": "p", "response_a": "a", "response_b": "b"}
    assert ComparedRow.model_validate(unlabeled).label is None
    with pytest.raises(ValidationError, match="label"):
        PreferenceRow.model_validate(unlabeled)
    assert list(ComparedRow.model_fields) == list(PreferenceRow.model_fields)
    assert list(row(margin=0.5).model_dump(exclude_none=True)) == [
        "id", "source", "prompt", "response_a", "response_b", "label", "margin",
    ]  # fmt: skip
