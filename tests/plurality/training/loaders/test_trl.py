"""TRL-style sets in all their shapes: what is prompt, what is answer, and what cannot be told."""

from typing import Any

import pytest

from plurality.training.errors import DataError
from plurality.training.loaders import hh, trl
from tests.plurality.training.loaders.pairs import outcomes, said, side

USER, GOOD, BAD = (
    {"role": "user", "content": "Name a prime."},
    {"role": "assistant", "content": "Seven."},
    {"role": "assistant", "content": "Nine."},
)
EXPECTED = [(frozenset(("Seven.", "Nine.")), "Seven.")]
BEFORE = [{"role": "system", "content": "Be brief."}, USER]


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Name a prime.", "chosen": "Seven.", "rejected": "Nine."},
        {"prompt": "Name a prime.", "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Name a prime.", "chosen": " Seven.", "rejected": "Nine.\n"},
        {"prompt": "Name a prime. ", "chosen": "Name a prime. Seven.", "rejected": "Name a prime. Nine."},
    ],
    ids=["texts", "text and messages", "spaces", "prompt repeated"],
)
def test_text_prompts(record: dict[str, Any]) -> None:
    """A prompt that is a text stays one."""
    loaded = trl.rows([record])
    assert loaded.rows[0].prompt == "Name a prime."
    assert outcomes(loaded) == EXPECTED


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": BEFORE, "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": BEFORE, "chosen": "Seven.", "rejected": "Nine."},
        {"prompt": BEFORE, "chosen": [*BEFORE, GOOD], "rejected": [*BEFORE, BAD]},
        {"chosen": [*BEFORE, GOOD], "rejected": [*BEFORE, BAD]},
        {"prompt": "Name a prime.", "chosen": [*BEFORE, GOOD], "rejected": [*BEFORE, BAD]},
        {"prompt": BEFORE[:1], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"chosen": [*BEFORE, GOOD | {"content": [{"type": "text", "text": "Seven."}]}], "rejected": [*BEFORE, BAD]},
    ],
    ids=["messages", "messages and texts", "prompt twice", "implicit", "prompt in text", "goes on", "parts"],
)
def test_conversations(record: dict[str, Any]) -> None:
    """Whichever way a conversation is given, context and answer come out apart, and the context once."""
    loaded = trl.rows([record])
    assert said(loaded.rows[0]) == [("system", "Be brief."), ("user", "Name a prime.")]
    assert outcomes(loaded) == EXPECTED


@pytest.mark.parametrize("prompted", [True, False])
def test_dialogue_texts(prompted: bool) -> None:
    """Texts in the format of HH become messages, with the prompt given or implicit."""
    opening = "\n\nHuman: Name a prime.\n\nAssistant:"
    record = {"chosen": " Seven.", "rejected": " Nine."}
    record = record | {"prompt": opening} if prompted else {key: opening + text for key, text in record.items()}
    loaded = trl.rows([record])
    assert said(loaded.rows[0]) == [("user", "Name a prime.")]
    assert outcomes(loaded) == EXPECTED


TWO = [GOOD, USER, GOOD]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"chosen": "The sky is blue.", "rejected": "The sky is green."}, trl.PLAIN),
        ({"chosen": [GOOD], "rejected": [BAD]}, trl.PLAIN),
        ({"chosen": [*BEFORE, GOOD], "rejected": [USER, BAD]}, trl.SEVERAL),
        ({"prompt": "p", "chosen": TWO, "rejected": [BAD, USER, BAD]}, trl.SEVERAL),
        ({"chosen": [USER, USER], "rejected": [USER, BAD]}, trl.NOT_ASSISTANT),
        ({"prompt": "Other?", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, trl.OTHER_PROMPT),
        ({"chosen": [USER, GOOD], "rejected": [USER, GOOD]}, trl.SAME),
        ({"prompt": "p", "chosen": "same", "rejected": "same "}, trl.SAME),
        ({"chosen": [{"role": "tool", "content": "x"}, GOOD], "rejected": [USER, BAD]}, trl.NO_TEXT),
        ({"chosen": [USER, GOOD | {"content": [{"type": "image"}]}], "rejected": [USER, BAD]}, trl.NO_TEXT),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "x"}, hh.NOT_A_DIALOGUE),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: b"}, hh.OTHER_DIALOGUE),
    ],
)
def test_what_cannot_be_read_is_counted(record: dict[str, Any], reason: str) -> None:
    """Each has its reason; nothing is guessed."""
    loaded = trl.rows([record])
    assert (loaded.rows, loaded.dropped) == ([], {reason: 1})


def texts(**changes: Any) -> dict[str, Any]:
    return {"prompt": "Name a prime.", "chosen": "Seven.", "rejected": "Nine."} | changes


def test_margins_in_the_unit_interval() -> None:
    """A margin column that is all in [0, 1] is the row's margin; rows without one have none."""
    loaded = trl.rows([texts(margin=0.4), texts(prompt="q", margin=None), texts(prompt="r", margin=1)])
    assert [row.margin for row in loaded.rows] == [0.4, None, 1.0]


def test_margins_on_another_scale() -> None:
    """One margin outside tells that the whole column is on another scale: none is used, all are kept as details."""
    loaded = trl.rows([texts(margin=0.4), texts(prompt="q", margin=3.0)])
    assert [row.margin for row in loaded.rows] == [None, None]
    assert loaded.notes == {trl.FOREIGN_MARGIN: 2}
    assert [known["margin"] for known in loaded.details.values()] == [0.4, 3.0]


def test_equal_scores_are_ties() -> None:
    """Where both answers have one score, "chosen" was drawn; where rejected has more, the notes say so."""
    loaded = trl.rows([
        texts(score_chosen=7.0, score_rejected=7.0),
        texts(prompt="q", score_chosen=3.0, score_rejected=8.0),
        texts(prompt="r", score_chosen=8.0, score_rejected=3.0),
    ])  # fmt: skip
    assert [best for _, best in outcomes(loaded)] == [None, "Seven.", "Seven."]
    assert loaded.notes == {"ties kept, label 0.5": 1, "the rejected answer has the higher score": 1}
    last = loaded.rows[2]
    assert loaded.details[last.id][f"score_{side(last, 'Seven.')}"] == 8.0


def test_ids_of_the_set() -> None:
    """The set's own id is kept where there is one."""
    assert [row.id for row in trl.rows([texts(prompt_id="p7"), texts(prompt="q")]).rows] == ["trl/p7", "trl/2"]


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "p", "chosen": "x"},
        {"prompt": "p", "chosen": "x", "rejected": [BAD]},
        {"prompt": "p", "chosen": 1, "rejected": 2},
        {"prompt": "p", "chosen": [{"role": "assistant"}], "rejected": [BAD]},
    ],
)
def test_other_schemas_are_named(record: dict[str, Any]) -> None:
    """A record without these columns stops the run with its number."""
    with pytest.raises(DataError, match="line 1"):
        trl.rows([record])
