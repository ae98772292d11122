"""The split of a cycle's rows: by prompt, the same for ever."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plurality.core.rows import PreferenceRow, Turn
from plurality.sidecar.collect import Collected, collect, hash_position, split_rows
from plurality.training.errors import TrainingError
from plurality.training.load import load_rows


def row(prompt: str, number: int = 0, *, source: str = "votes") -> PreferenceRow:
    return PreferenceRow(
        id=f"{source}-{number}-{prompt}",
        source=source,
        prompt=prompt,
        response_a=f"a{number}",
        response_b="b",
        label=1.0,
    )


PROMPTS = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=40)


@given(votes=PROMPTS, base=PROMPTS, held=PROMPTS, share=st.floats(0.05, 0.95))
def test_no_prompt_is_trained_on_and_judged_and_no_vote_is_lost(
    votes: list[str], base: list[str], held: list[str], share: float
) -> None:
    rows = [row(prompt, number) for number, prompt in enumerate(votes)]
    split = split_rows(
        rows,
        base=[row(prompt, source="base") for prompt in base],
        held_out=[row(prompt, source="held") for prompt in held],
        share=share,
    )
    uses = [{entry.prompt_key for entry in part} for part in (split.train, split.calibrate, split.evaluate)]
    assert len(uses[0] | uses[1] | uses[2]) == sum(map(len, uses))
    kept = [entry.id for part in (split.train, split.calibrate, split.evaluate) for entry in part]
    assert {entry.id for entry in rows} <= set(kept)
    assert {row(prompt).prompt_key for prompt in held} <= uses[1] | uses[2]


@given(prompts=PROMPTS, later=PROMPTS)
def test_a_prompt_stays_on_its_side_when_more_votes_come(prompts: list[str], later: list[str]) -> None:
    first = split_rows([row(prompt) for prompt in prompts], share=0.3)
    second = split_rows([row(prompt) for prompt in [*prompts, *later]], share=0.3)
    assert {entry.prompt for entry in first.evaluate} <= {entry.prompt for entry in second.evaluate}
    assert {entry.prompt for entry in first.train} <= {entry.prompt for entry in second.train}


def said_as_messages(prompt: str, number: int = 0) -> PreferenceRow:
    turns = (Turn(role="user", content=f"  {prompt} "),)
    return row(prompt, number).model_copy(update={"prompt": None, "messages": turns})


@given(votes=PROMPTS, later=PROMPTS, base=PROMPTS, held=PROMPTS, share=st.floats(0.05, 0.95))
def test_what_judges_in_any_cycle_was_trained_on_in_none_before(
    votes: list[str], later: list[str], base: list[str], held: list[str], share: float
) -> None:
    """Later votes come on prompts of the base data too, and as messages."""
    always = [row(prompt, source="base") for prompt in base]
    never = [row(prompt, source="held") for prompt in held]
    known = [row(prompt) for prompt in votes]
    more = [*known, *(said_as_messages(prompt) for prompt in [*later, *base])]
    first = split_rows(known, base=always, held_out=never, share=share)
    second = split_rows(more, base=always, held_out=never, share=share)
    trained = {entry.prompt_key for entry in [*first.train, *second.train]}
    assert not trained & {entry.prompt_key for entry in [*second.calibrate, *second.evaluate]}


def test_a_prompt_is_one_however_it_is_written() -> None:
    assert (
        hash_position(row("Name a prime."))
        == hash_position(said_as_messages("Name a prime."))
        == hash_position(row(" Name a  prime.\n"))
    )


def test_the_place_of_a_prompt_is_the_same_on_every_machine() -> None:
    assert hash_position(row("Name a prime number.")) == pytest.approx(0.23291557010074568, abs=0)


def test_a_cycle_that_was_killed_finds_its_files_as_they_were(tmp_path: Path) -> None:
    rows = [row(f"prompt {number}", number) for number in range(60)]
    first = collect(tmp_path, rows, base=None, held_out=None, share=0.4)
    again = collect(tmp_path, [], base=None, held_out=None, share=0.4)
    assert first == again == Collected.under(tmp_path)
    total = sum(len(load_rows(path)) for path in (first.train, first.calibrate, first.evaluate))
    assert total == 60


def test_rows_with_one_id_in_votes_and_base_are_both_kept(tmp_path: Path) -> None:
    base = tmp_path / "base.jsonl"
    shared = row("a trained prompt", 1)
    assert hash_position(shared) >= 0.4
    base.write_text(shared.model_copy(update={"response_b": "c"}).model_dump_json(exclude_none=True) + "\n")
    found = collect(
        tmp_path / "cycle", [shared, *(row(f"p{n}", n) for n in range(40))], base=base, held_out=None, share=0.4
    )
    assert {r.response_b for r in load_rows(found.train) if r.prompt == shared.prompt} == {"b", "c"}


def test_too_few_prompts_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no pairs to"):
        collect(tmp_path, [row("one prompt")], base=None, held_out=None, share=0.3)
