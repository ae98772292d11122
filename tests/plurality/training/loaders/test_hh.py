"""HH-RLHF: dialogues become messages and one answer each; what does not continue the same dialogue is dropped."""

from plurality.training.loaders import hh
from tests.plurality.training.loaders.pairs import outcomes, said

OPENING = "\n\nHuman: Is it late?\n\nAssistant: Quite.\n\nHuman: How late?\n\nAssistant:"


def record(chosen: str = " Midnight.", rejected: str = " Noon.", opening: str = OPENING) -> dict[str, str]:
    return {"chosen": opening + chosen, "rejected": opening + rejected}


def test_dialogue_becomes_messages() -> None:
    """Prompt and answer are apart: the last assistant turn is the answer, the turns before it are the context."""
    loaded = hh.rows([record()])
    [row] = loaded.rows
    assert said(row) == [("user", "Is it late?"), ("assistant", "Quite."), ("user", "How late?")]
    assert outcomes(loaded) == [(frozenset(("Midnight.", "Noon.")), "Midnight.")]


def test_speaker_words_inside_a_turn() -> None:
    """`Human:` inside a line does not begin a turn; blank lines inside a turn stay."""
    loaded = hh.rows([record(" She said Human: no.\n\nThen she left.", " Noon.")])
    assert outcomes(loaded)[0][1] == "She said Human: no.\n\nThen she left."


def test_different_dialogues_are_dropped() -> None:
    """chosen and rejected must share everything before the answer."""
    loaded = hh.rows([{"chosen": OPENING + " x", "rejected": OPENING.replace("Is it", "Was it") + " y"}])
    assert (loaded.rows, loaded.dropped) == ([], {hh.OTHER_DIALOGUE: 1})


def test_no_dialogue_is_dropped() -> None:
    """Two turns of one speaker, no assistant at the end, text before the first turn, no turns: each is counted."""
    broken = [
        "\n\nHuman: a\n\nHuman: b\n\nAssistant: c",
        "\n\nHuman: a\n\nAssistant: b\n\nHuman: c",
        "preface\n\nHuman: a\n\nAssistant: b",
        "\n\nAssistant: a",
        "just text",
    ]
    loaded = hh.rows([{"chosen": text, "rejected": text + " x"} for text in broken])
    assert (loaded.rows, loaded.dropped) == ([], {hh.NOT_A_DIALOGUE: len(broken)})


def test_empty_and_equal_answers_are_dropped() -> None:
    """An answer may be missing, or be the same twice."""
    loaded = hh.rows([record(chosen=" "), record(chosen=" x", rejected=" x ")])
    assert loaded.dropped == {"an answer is empty": 1, "both answers are the same": 1}


def test_depths_of_a_dialogue_stay_together() -> None:
    """The same dialogue is in the set at several depths; its opening groups them."""
    shallow = record(opening="\n\nHuman: Is it late?\n\nAssistant:")
    loaded = hh.rows([record(), shallow])
    assert set(loaded.groups.values()) == {"Is it late?"}
