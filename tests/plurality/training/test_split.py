"""Splits by prompt, duplicates and leaks: what holds for any rows, and the traps by name."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurality.core.pairs import normalize, text_key
from plurality.core.rows import PreferenceRow, Votes
from plurality.training.errors import TrainingError
from plurality.training.loaders.leaks import LONG, leaks
from plurality.training.split import (
    PARTS,
    counts,
    deduplicate,
    hold_out,
    mirrored,
    split,
)  # fmt: skip
from tests.plurality.training.data import row

EASY = settings(max_examples=60)
SHARES = (0.6, 0.2, 0.2)
LABELS = st.sampled_from([0.0, 0.5, 1.0, 0.3])
VOTES = st.none() | st.builds(Votes, a=st.integers(1, 3), b=st.integers(0, 3), tie=st.integers(0, 2))


@st.composite
def some_rows(draw: st.DrawFn) -> list[PreferenceRow]:
    """Rows on few prompts with few answers, so that pairs repeat, also swapped."""
    texts = st.tuples(st.sampled_from("pqrs"), st.sampled_from("xyz"), st.sampled_from("XY"), LABELS, VOTES)
    raw = draw(st.lists(texts, max_size=12))
    made = [row(id=f"r{i}", prompt=p, response_a=a, response_b=b, label=y, votes=None) for i, (p, a, b, y, _) in
            enumerate(raw)]  # fmt: skip
    voted = [entry.model_copy(update={"votes": votes}) for entry, (*_, votes) in zip(made, raw, strict=True)]
    flips = draw(st.lists(st.booleans(), min_size=len(voted), max_size=len(voted)))
    return [mirrored(entry) if flip else entry for entry, flip in zip(voted, flips, strict=True)]


def many(count: int = 300) -> list[PreferenceRow]:
    """Three rows a prompt."""
    return [row(id=f"r{i}", prompt=f"prompt {i // 3}", response_a=f"a{i}", response_b=f"b{i}") for i in range(count)]


def pair_of(entry: PreferenceRow) -> tuple[str, frozenset[str]]:
    return entry.prompt or "", frozenset((entry.response_a, entry.response_b))


def canonical(rows: list[PreferenceRow]) -> list[PreferenceRow]:
    return sorted(rows, key=lambda entry: entry.id)


@EASY
@given(some_rows(), st.randoms(use_true_random=False))
def test_deduplicate(rows: list[PreferenceRow], chance: random.Random) -> None:
    """One row a pair, every row accounted for, the same in any order, and nothing left to do the second time."""
    unique = deduplicate(rows)
    pairs = [pair_of(entry) for entry in unique.rows]
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == {pair_of(entry) for entry in rows}
    assert len(unique.rows) + unique.merged == len(rows)
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert canonical(deduplicate(shuffled).rows) == canonical(unique.rows)
    again = deduplicate(unique.rows)
    assert (again.rows, again.merged, again.contradicted) == (unique.rows, 0, 0)


@EASY
@given(some_rows())
def test_no_vote_is_lost(rows: list[PreferenceRow]) -> None:
    """Where all rows of a pair hold whole judgements, their number stays."""
    for entry in deduplicate(rows).rows:
        same = [other for other in rows if pair_of(other) == pair_of(entry)]
        if len(same) > 1 and all(other.votes or other.label in {0, 0.5, 1} for other in same):
            assert entry.votes is not None
            assert entry.votes.total == sum(other.votes.total if other.votes else 1 for other in same)
            assert entry.label == pytest.approx(entry.votes.fraction_a)


def test_swapped_pairs_merge_and_contradictions_count() -> None:
    """x over y and, swapped, y over x: one row, one vote each."""
    first = row(id="1", response_a="x", response_b="y", label=1.0)
    unique = deduplicate([first, row(id="2", response_a="y", response_b="x", label=1.0)])
    [merged] = unique.rows
    assert (merged.id, merged.votes, merged.label) == ("1", Votes(a=1, b=1), 0.5)
    assert (unique.merged, unique.contradicted) == (1, 1)


def test_swapped_agreement() -> None:
    """x over y twice, once swapped, is two votes for x and no contradiction."""
    first = row(id="1", response_a="x", response_b="y", label=1.0, true_preference=0.8)
    unique = deduplicate([first, mirrored(first).model_copy(update={"id": "2"})])
    [merged] = unique.rows
    assert (merged.votes, merged.label, merged.true_preference) == (Votes(a=2, b=0), 1.0, 0.8)
    assert unique.contradicted == 0


def test_a_judge_turns_with_the_answers() -> None:
    """A language model's judgement of the swapped pair is turned round when it is kept, order by order."""
    heard = {"order": "ab", "a": 3, "b": 1, "unparsable": 0, "logit": 1.5, "covered": 0.9}
    judge = {"q": 0.8, "mode": "sample", "n": 4, "parsed": 4, "unparsable": 0, "model": "m", "settings": "s"}
    judged = row(id="2", response_a="y", response_b="x", label=1.0, judge=judge | {"orders": [heard]})
    [merged] = deduplicate([row(id="1", response_a="x", response_b="y", label=0.0), judged]).rows
    assert merged.judge is not None
    [turned] = merged.judge.orders
    assert merged.judge.q == pytest.approx(0.2)
    assert (turned.order, turned.a, turned.b, turned.logit, turned.covered) == ("ba", 1, 3, -1.5, 0.9)
    assert mirrored(mirrored(judged)).judge == judged.judge


def test_probabilities_are_averaged() -> None:
    """A label that is a probability is no vote: labels are averaged, margins kept only where they agree."""
    rows = [row(id="1", label=0.9, margin=0.8), row(id="2", label=0.5, margin=0.2)]
    [merged] = deduplicate(rows).rows
    assert merged.label == pytest.approx(0.7)
    assert (merged.votes, merged.margin) == (None, None)


def test_prompt_and_message_are_the_same_context() -> None:
    """A plain prompt and the same as one message of the user are one prompt."""
    plain = row(id="1", prompt="Is it late?")
    chat = row(id="2", prompt=None, messages=[{"role": "user", "content": "Is it late?"}])
    assert plain.prompt_key == chat.prompt_key
    assert deduplicate([plain, chat]).merged == 1


def test_roles_and_turns_count() -> None:
    """The same words by another speaker, or cut into other turns, are another context."""
    keys = {
        row(prompt=None, messages=[{"role": role, "content": text} for role, text in turns]).prompt_key
        for turns in (
            [("user", "a b")], [("system", "a b")], [("user", "a"), ("user", "b")], [("user", "a"), ("assistant", "b")],
        )
    }  # fmt: skip
    assert len(keys) == 4


@pytest.mark.parametrize("other", ["  is IT\nlate? ", "Is it late\uff1f", "Is\u00a0it late?"])
def test_normalized_texts_are_the_same(other: str) -> None:
    """Case, white space and compatibility forms do not make a prompt new."""
    assert normalize(other) == normalize("Is it late?")
    assert row(prompt=other).prompt_key == row(prompt="Is it late?").prompt_key


@EASY
@given(some_rows(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_split_by_prompt(rows: list[PreferenceRow], seed: int, chance: random.Random) -> None:
    """Every row is in one part, no prompt is in two, and the order of the rows does not matter."""
    base = [row(id=f"base {i}", prompt=f"base {i}") for i in range(60)]
    parts = split(rows + base, SHARES, seed=seed)
    assert canonical([entry for part in parts.values() for entry in part]) == canonical(rows + base)
    prompts = [{entry.prompt_key for entry in parts[part]} for part in PARTS]
    assert len(set.union(*prompts)) == sum(map(len, prompts))
    shuffled = rows + base
    chance.shuffle(shuffled)
    again = split(shuffled, SHARES, seed=seed)
    assert {part: canonical(entries) for part, entries in again.items()} == {
        part: canonical(entries) for part, entries in parts.items()
    }


def test_split_again_moves_nothing() -> None:
    """Splitting the train part again, and adding rows, leaves every prompt where it was."""
    rows = many()
    train = split(rows, SHARES)["train"]
    assert split(train, (1.0, 0.0, 0.0)) == {"train": train, "validation": [], "test": []}
    with pytest.raises(TrainingError, match="nothing fell to validation"):
        split(train, SHARES)
    more = split(rows + [row(id=f"new {i}", prompt=f"new {i}") for i in range(100)], SHARES)
    assert {entry.id for entry in train} <= {entry.id for entry in more["train"]}


def test_shares_are_met() -> None:
    """A thousand prompts come near the shares; another seed divides them otherwise."""
    rows = [row(id=str(i), prompt=f"prompt {i}") for i in range(1000)]
    parts = split(rows, (0.8, 0.1, 0.1))
    assert 760 < len(parts["train"]) < 840
    assert 70 < len(parts["validation"]) < 130
    assert split(rows, (0.8, 0.1, 0.1), seed=1)["train"] != parts["train"]


def test_same_question_is_never_on_both_sides() -> None:
    """Not the tail of the file: rows of one question lie far apart, and still on one side."""
    rows = [row(id=str(i), prompt=f"question {i % 40}") for i in range(400)]
    parts = split(rows, SHARES)
    assert not {r.prompt_key for r in parts["train"]} & {r.prompt_key for r in parts["test"]}


def test_groups_stay_together() -> None:
    """All prompts of a debate are on one side, also through a prompt that two debates share."""
    rows = many(600)
    groups = {entry.id: f"debate {i // 20}" for i, entry in enumerate(rows)}
    parts = split(rows, SHARES, groups=groups)
    sides = [{groups[entry.id] for entry in parts[part]} for part in PARTS]
    assert all(sides)
    assert len(set.union(*sides)) == sum(map(len, sides))
    chained = {entry.id: f"debate {(i + 1) // 3}" for i, entry in enumerate(rows)}
    with pytest.raises(TrainingError, match="1 independent prompts or groups"):
        split(rows, SHARES, groups=chained)


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.2, -0.2, 0.0), (0.0, 0.0, 0.0)])
def test_bad_shares(shares: tuple[float, float, float]) -> None:
    """Shares sum to 1 and none is negative."""
    with pytest.raises(TrainingError, match="sum to 1"):
        split(many(), shares)


def test_no_share_no_rows() -> None:
    """A share of 0 is an empty part, and all of it may go to test; no rows is no error."""
    rows = many(30)
    assert split(rows, (0.0, 0.0, 1.0))["test"] == rows
    assert split(rows, (0.5, 0.5, 0.0))["test"] == []
    assert split([], SHARES) == {"train": [], "validation": [], "test": []}


def test_hold_out() -> None:
    """Rows whose prompt is held out leave, and are given back to be counted."""
    rows = many(6)
    kept, out = hold_out(rows, {rows[0].prompt_key})
    assert ([entry.id for entry in kept], [entry.id for entry in out]) == (["r3", "r4", "r5"], ["r0", "r1", "r2"])


def test_leaks_between_files() -> None:
    """Same prompts and answers under normalization, with counts and ids of the second file, never a text."""
    said = "It is a quarter past the hour, as the bell has just told us."
    train = [row(id="t1", prompt="Is it late?", response_a=said, response_b="No.")]
    test = [row(id="e1", prompt="is it  LATE?", response_a="Maybe.", response_b="Perhaps."),
            row(id="e2", prompt="other", response_a=said.upper(), response_b="Yes."),
            row(id="e3", prompt="third", response_a="no.", response_b="Never.")]  # fmt: skip
    found = {leak.kind: (leak.rows, leak.examples) for leak in leaks({"train": train, "test": test})}
    assert len(normalize(said)) >= LONG
    assert found == {
        "prompt": (1, ["e1"]), "answer": (2, ["e2", "e3"]), f"answer of {LONG}+ characters": (1, ["e2"]),
    }  # fmt: skip
    assert "bell" not in str(leaks({"train": train, "test": test}))


def test_leaks_show_few_examples() -> None:
    """However many rows leak, the examples stay few; files that share nothing have no leak."""
    found = leaks({"one": many(30), "two": many(30)})
    assert all(leak.rows == 30 and len(leak.examples) == 5 for leak in found)
    assert leaks({"one": many(30), "two": [row(id="x", prompt="x", response_a="?", response_b="!")]}) == []


def test_counts() -> None:
    """What a card says of a part."""
    rows = [*many(6), row(id="t", prompt="t", label=0.5, votes={"a": 1, "b": 1})]
    assert counts(rows) == {"rows": 7, "prompts": 3, "ties": 1, "with_votes": 1}
    assert text_key("A  b") == text_key("a B")
