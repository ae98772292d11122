"""PRISM: pairs within a turn, the chosen answers as history, ties and empty answers as such."""

from typing import Any

from plurality.training.loaders import prism
from tests.plurality.training.loaders.pairs import outcomes, said, side


def utterance(turn: int, name: str, score: int, *, chosen: bool = False, **changes: Any) -> dict[str, Any]:
    base = {
        "utterance_id": f"u{turn}{name}", "interaction_id": f"i{turn}", "conversation_id": "c1", "user_id": "user1",
        "turn": turn, "within_turn_id": 0, "conversation_type": "unguided", "user_prompt": f"message {turn}",
        "model_response": f"answer {turn}{name}", "model_name": f"model {name}", "score": score, "if_chosen": chosen,
    }  # fmt: skip
    return base | changes


FIRST = [utterance(0, "A", 90, chosen=True), utterance(0, "B", 20), utterance(0, "C", 20), utterance(0, "D", 1)]
SECOND = [utterance(1, "A", 30), utterance(1, "B", 60, chosen=True)]


def test_all_pairs_of_a_turn() -> None:
    """Four ratings are six pairs; equal ratings are a tie."""
    loaded = prism.rows(FIRST)
    assert len(loaded.rows) == 6
    assert (frozenset(("answer 0B", "answer 0C")), None) in outcomes(loaded)
    assert (frozenset(("answer 0A", "answer 0D")), "answer 0A") in outcomes(loaded)
    assert loaded.notes == {"ties kept, label 0.5": 1}


def test_never_across_turns() -> None:
    """Sliders of two turns do not compare: 6 and 1 pairs, not 15; the second turn's context holds the chosen answer."""
    loaded = prism.rows([*SECOND, *FIRST])
    assert len(loaded.rows) == 7
    [second] = [row for row in loaded.rows if len(said(row)) > 1]
    assert said(second) == [("user", "message 0"), ("assistant", "answer 0A"), ("user", "message 1")]
    assert set(loaded.groups.values()) == {"c1"}


def test_conversations_do_not_mix() -> None:
    """Two people's first turns with the same number stay apart."""
    other = [utterance(0, "E", 50, conversation_id="c2"), utterance(0, "F", 40, conversation_id="c2")]
    assert len(prism.rows([*FIRST, *other]).rows) == 7


def test_unknown_history_is_dropped() -> None:
    """Two answers marked as chosen, or none: what was said before is not known."""
    for first in ([FIRST[0], FIRST[1] | {"if_chosen": True}], [FIRST[1], FIRST[2]]):
        loaded = prism.rows([*first, *SECOND])
        assert (len(loaded.rows), loaded.dropped) == (1, {prism.UNKNOWN_HISTORY: 1})


def test_missing_turn_is_dropped() -> None:
    """A conversation without its middle has no known history either."""
    last = [utterance(2, "A", 5), utterance(2, "B", 6)]
    assert prism.rows([*FIRST, *last]).dropped == {prism.UNKNOWN_HISTORY: 1}


def test_empty_string_is_empty() -> None:
    """The set writes an empty answer as the words EMPTY STRING."""
    loaded = prism.rows([FIRST[0], FIRST[1] | {"model_response": prism.EMPTY}])
    assert loaded.dropped == {"an answer is empty": 1}


def test_single_answer_is_noted() -> None:
    """A turn with one answer has no pair; the notes say so."""
    assert prism.rows(FIRST[:1]).notes == {"turns with a single answer": 1}


def test_details() -> None:
    """The person, and each answer's model and score at its side."""
    loaded = prism.rows(FIRST[:2])
    [row] = loaded.rows
    known, place = loaded.details[row.id], side(loaded.rows[0], "answer 0A")
    assert (known["user"], known[f"score_{place}"], known[f"model_{place}"]) == ("user1", 90.0, "model A")


def test_order_of_records_does_not_matter() -> None:
    """Shuffled utterances give the same rows."""
    rows = prism.rows([*FIRST, *SECOND]).rows
    assert sorted(prism.rows([*SECOND, *reversed(FIRST)]).rows, key=lambda row: row.id) == sorted(
        rows, key=lambda row: row.id
    )
