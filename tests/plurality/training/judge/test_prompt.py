"""The paper's prompt, and reading its answer: a choice is never read into what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plurality.training.judge.prompt import judge_prompt, parse_choice
from service.domain import Message


def test_the_papers_words() -> None:
    """arXiv 2412.03822, appendix: every line as printed."""
    assert judge_prompt("Why?", "Because.", "No idea.").split("\n") == [
        "I am going to give you a prompt and two answers.",
        "The goal is to identify the better answer.",
        "If the prompt is a question, we want the factually correct answer.",
        "In a conversation, we want helpful replies that do not cause harm.",
        "The output format should be either 'Choice: A' or 'Choice: B' based on the selected answer and nothing else.",
        "Prompt: Why?",
        "Answer A: Because.",
        "Answer B: No idea.",
    ]


def test_a_conversation_is_told_turn_by_turn() -> None:
    """Who speaks stands before what is said."""
    turns = (
        Message("system", "Be kind."),
        Message("user", "Hi."),
        Message("assistant", "Yes?"),
        Message("user", "Go."),
    )
    assert "Prompt: System: Be kind.\n\nUser: Hi.\n\nAssistant: Yes?\n\nUser: Go.\nAnswer A:" in judge_prompt(
        turns, "", ""
    )


@given(st.text(), st.text(), st.text())
def test_texts_go_in_unchanged(prompt: str, first: str, second: str) -> None:
    """Braces and placeholders in a text stay text."""
    made = judge_prompt(prompt, first, second)
    assert made.endswith(f"Prompt: {prompt}\nAnswer A: {first}\nAnswer B: {second}")
    assert judge_prompt("{answer_1}", "{prompt}", "{0}").endswith(
        "Prompt: {answer_1}\nAnswer A: {prompt}\nAnswer B: {0}"
    )


@pytest.mark.parametrize("label", ["A", "B"])
@pytest.mark.parametrize(
    "text",
    ["Choice: {}", "Choice:{}", " 'Choice: {}'.\n", "**Choice: {}**", "choice: {}", "Choice: {}\n\nIt is right."],
)
def test_choices(text: str, label: str) -> None:
    """The format, with the punctuation that models put around it."""
    assert parse_choice(text.format(label)) == label


@pytest.mark.parametrize(
    "text",
    [
        "", "A", "Choice", "Choice:", "Choice: C", "Choice: AB", "Choice: A or B", "Choice: A/B", "Choice: a",
        "I cannot choose.", "I would not say Choice: A", "Choice: A\nNo: Choice: B", "Answer A is better.",
        "Choice: Neither", "Choice: A is tempting, but", "Choice: Änderung",
    ],
)  # fmt: skip
def test_no_choices(text: str) -> None:
    """Prose, both, neither, bare letters: no judgement."""
    assert parse_choice(text) is None


@given(st.text())
def test_any_text_is_a_choice_or_none(text: str) -> None:
    """Never an error, and never a choice without the word."""
    label = parse_choice(text)
    assert label in {"A", "B", None}
    assert label is None or f"{label}" in text.split("hoice:", 1)[-1]
