"""What all loaders share: sides that say nothing, counted drops, wrong records named without their values."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurality.core.rows import Turn, Votes
from plurality.training.errors import DataError
from plurality.training.loaders.collect import (
    Collector,
    WrongRecord,
    field_of,
    flips,
    list_of,
    number_of,
    objects_of,
    text_of,
)
from tests.plurality.training.loaders.pairs import side, winner

TEXTS = st.text(min_size=1).filter(lambda text: bool(text.strip()))


@settings(max_examples=100)
@given(TEXTS, TEXTS, TEXTS)
def test_order_depends_on_texts_alone(prompt: str, first: str, second: str) -> None:
    """However a set stores the pair, and whoever won, the row is the same: position never tells the label."""
    if first.strip() == second.strip():
        return
    out = Collector("s")
    out.pair("1", prompt, (first, second), label=1.0)
    out.pair("1", prompt, (second, first), label=0.0)
    one, other = out.finish().rows
    assert one.model_copy(update={"id": "x"}) == other.model_copy(update={"id": "x"})
    assert winner(one) == first


def test_sides_are_balanced() -> None:
    """A set that stores the better answer first ends with it at a in about half of the rows."""
    out = Collector("s")
    for i in range(400):
        out.pair(str(i), f"question {i}", ("good", "bad"), label=1.0)
    assert 150 < sum(row.label == 1.0 for row in out.finish().rows) < 250


def test_everything_turns_with_the_answers() -> None:
    """Votes, label and each side's details go where their answer goes."""
    pairs = [("x", "y"), ("y", "x")]
    for answers in pairs:
        out = Collector("s")
        votes = Votes(a=3, b=1, tie=1) if answers[0] == "x" else Votes(a=1, b=3, tie=1)
        out.pair("1", "p", answers, votes=votes, sides={"model": (f"m-{answers[0]}", f"m-{answers[1]}")})
        loaded = out.finish()
        [row] = loaded.rows
        assert winner(row) == "x"
        assert row.votes is not None
        assert {row.votes.a, row.votes.b, row.votes.tie} == {3, 1}
        assert loaded.details[row.id][f"model_{side(row, 'x')}"] == "m-x"
        assert loaded.details[row.id][f"model_{side(row, 'y')}"] == "m-y"


@pytest.mark.parametrize(
    ("context", "answers", "reason"),
    [
        (" \n", ("x", "y"), "the prompt is empty"),
        ((Turn(role="user", content=""),), ("x", "y"), "the prompt is empty"),
        ("p", ("x", " "), "an answer is empty"),
        ("p", ("x ", "\nx"), "both answers are the same"),
    ],
)
def test_unusable_pairs_are_counted(context: str, answers: tuple[str, str], reason: str) -> None:
    """A pair that cannot teach anything is dropped by name."""
    out = Collector("s")
    out.pair("1", context, answers, label=1.0)
    loaded = out.finish()
    assert (loaded.rows, loaded.dropped) == ([], {reason: 1})


def test_ties_are_noted() -> None:
    """A tie is kept, and the notes say how many there are."""
    out = Collector("s")
    out.pair("1", "p", ("x", "y"), label=0.5)
    assert out.finish().notes == {"ties kept, label 0.5": 1}


def test_ids_are_unique() -> None:
    """The same identity twice gives two ids, both telling their source."""
    out = Collector("s")
    for prompt in ("p", "q"):
        out.pair("7", prompt, ("x", "y"), label=1.0)
    assert [row.id for row in out.finish().rows] == ["s/7", "s/7#2"]


def test_needs_a_judgement() -> None:
    """Neither label nor votes is a mistake of the loader, not of the data."""
    with pytest.raises(ValueError, match="label or votes"):
        Collector("s").pair("1", "p", ("x", "y"))


def test_wrong_records_all_named_without_values() -> None:
    """Every record of another schema is named by number and field; its values never are."""
    out = Collector("s")
    records: list[dict[str, object]] = [{"a": "secret"}, {"q": 3}, {"q": "fine"}]
    for number, record in enumerate(records, start=1):
        with out.record(number):
            text_of(record, "q")
    with pytest.raises(DataError) as caught:
        out.finish()
    assert [(row.line, row.cause) for row in caught.value.rows] == [(1, "no field q; it has a"), (2, "q is not a text")]
    assert "secret" not in str(caught.value)


def test_readers() -> None:
    """Nested fields are read with their types; numbers also from texts, as CSV has them."""
    record = {"a": {"n": "2.5", "l": [1], "t": "x"}, "flag": True, "nan": float("nan")}
    assert (number_of(record, "a", "n"), list_of(record, "a", "l"), text_of(record, "a", "t")) == (2.5, [1], "x")
    for read, path in ((number_of, ("flag",)), (number_of, ("nan",)), (number_of, ("a", "t")), (list_of, ("a", "t"))):
        with pytest.raises(WrongRecord):
            read(record, *path)
    with pytest.raises(WrongRecord, match=r"no field a\.z"):
        field_of(record, "a", "z", "y")


def test_objects_in_both_shapes() -> None:
    """A list of objects reads the same where `datasets` has made an object of lists of it."""
    expected = [{"text": "x", "policy": "p"}, {"text": "y", "policy": "q"}]
    assert objects_of({"s": expected}, "s") == expected
    assert objects_of({"s": {"text": ["x", "y"], "policy": ["p", "q"]}}, "s") == expected
    for wrong in ({"text": ["x"], "policy": []}, ["x"], "x"):
        with pytest.raises(WrongRecord):
            objects_of({"s": wrong}, "s")


def test_flip_sees_roles() -> None:
    """The order of a conversation's answers is fixed too."""
    context = (Turn(role="user", content="p"), Turn(role="assistant", content="q"), Turn(role="user", content="r"))
    assert flips(context, ("x", "y")) != flips(context, ("y", "x"))
