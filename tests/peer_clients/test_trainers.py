"""Trainers' own functions against a running service. Where a trainer sends one text, the model reads chats."""

import pytest

from tests.peer_clients.conftest import Ask
from tests.peer_clients.served import Subject

pytestmark = pytest.mark.e2e
HOME = "trainers"


def test_openrlhf_with_a_pair_model(pair: Subject, ask: Ask) -> None:
    """`prompts` tell the service where the response begins; scores are calibrated, and the logs are numbers."""
    answers = ask("openrlhf", pair, environment=HOME)
    rewards = pair.native()
    assert answers["rewards"] == pair.near(rewards)
    assert answers["scores"] == pair.near(pair.probabilities(rewards))
    assert all(tokens > 0 for tokens in answers["logged"])
    assert answers["reward_func"] == pair.near(rewards)


def test_openrlhf_with_a_chat_model(chat: Subject, ask: Ask) -> None:
    """Special tokens are in the text that it decodes: they are read as tokens, and BOS is not doubled."""
    answers = ask("openrlhf", chat, environment=HOME)
    rewards = chat.native()
    assert answers["rewards"] == chat.near(rewards)
    assert answers["scores"] == chat.near(chat.probabilities(rewards))
    if chat.checkpoint:
        assert answers["rollout_rewards"] == chat.near(rewards)
        assert answers["rollout_scores"] == chat.near(chat.probabilities(rewards))


def test_verl(chat: Subject, ask: Ask) -> None:
    """It applies the template, removes BOS and names the model by its path; or it calls the client kit's functions."""
    if not chat.checkpoint:
        pytest.skip("verl applies the chat template of a checkpoint, which a store does not hold")
    answers = ask("verl", chat, environment=HOME)
    for way in ("vllm", "sglang", "compute_score", "compute_score_async"):
        assert answers[way] == chat.near(chat.native())


def test_llamafactory(chat: Subject, ask: Ask) -> None:
    """Whole texts to a model that reads whole texts."""
    assert ask("llamafactory", chat, environment=HOME)["scores"] == chat.near(chat.native())


def test_llamafactory_with_a_pair_model(pair: Subject, ask: Ask) -> None:
    """Whole texts do not say where a response begins: the run ends, and no reward is made up."""
    with pytest.raises(AssertionError, match="KeyError: 'scores'"):
        ask("llamafactory", pair, environment=HOME)


@pytest.mark.parametrize("model", ["pair", "chat"])
def test_slime(model: str, request: pytest.FixtureRequest, ask: Ask) -> None:
    """The body is the reward; with `?reply=object` it has keys."""
    subject: Subject = request.getfixturevalue(model)
    answers = ask("slime", subject, environment=HOME, sources="slime")
    for form in ("texts", "messages", "keyed"):
        assert answers[form] == subject.near(subject.native())


@pytest.mark.parametrize("model", ["pair", "chat"])
def test_align_anything(model: str, request: pytest.FixtureRequest, ask: Ask) -> None:
    """Prompts and responses, a tensor of rewards."""
    subject: Subject = request.getfixturevalue(model)
    answers = ask("align_anything", subject, environment=HOME, sources="align-anything")
    assert answers["rewards"] == subject.near(subject.native())
