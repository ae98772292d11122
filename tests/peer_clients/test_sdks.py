"""SDKs of rerankers, classifiers and embeddings."""

import pytest

from tests.peer_clients.conftest import Ask
from tests.peer_clients.served import Subject

pytestmark = pytest.mark.e2e
HOME = "sdk"


@pytest.mark.parametrize("model", ["pair", "chat"])
def test_cohere(model: str, request: pytest.FixtureRequest, ask: Ask) -> None:
    """Relevance is the calibrated probability, or the reward on request; order is by reward."""
    subject: Subject = request.getfixturevalue(model)
    answers = ask("cohere", subject, environment=HOME)
    rewards = subject.native(prompt=subject.questions[0].prompt)
    for form in ("v2", "v1"):
        assert answers[form] == subject.near(subject.probabilities(rewards))
    assert answers["v2_raw"] == subject.near(rewards)
    assert answers["best"] == [rewards.index(max(rewards))]


def test_jina(pair: Subject, ask: Ask) -> None:
    """As Cohere's, best first."""
    answers = ask("jina", pair, environment=HOME)
    rewards = pair.native(prompt=pair.questions[0].prompt)
    assert answers["in_order"] == pair.near(pair.probabilities(rewards))
    assert answers["ranked"] == sorted(answers["ranked"], reverse=True)


@pytest.mark.parametrize("model", ["pair", "chat"])
def test_infinity_rerank(model: str, request: pytest.FixtureRequest, ask: Ask) -> None:
    """`raw_scores` is the reward."""
    subject: Subject = request.getfixturevalue(model)
    answers = ask("infinity", subject, environment=HOME)
    rewards = subject.native(prompt=subject.questions[0].prompt)
    assert answers["rerank_raw"] == subject.near(rewards)
    assert answers["rerank_activated"] == subject.near(subject.probabilities(rewards))


def test_infinity_classify(chat: Subject, ask: Ask) -> None:
    """Whole texts to the default model; `raw_scores` is honored, which Infinity itself does not do."""
    answers = ask("infinity", chat, environment=HOME)
    assert answers["classify_raw"] == chat.near(chat.native())
    assert answers["classify_activated"] == chat.near(chat.probabilities(chat.native()))


def test_huggingface_hub(chat: Subject, ask: Ask) -> None:
    """TEI's /predict and root, through the Hub's client."""
    answers = ask("huggingface_hub", chat, environment=HOME)
    assert answers["raw"] == chat.near(chat.native())
    for form in ("probabilities", "root"):
        assert answers[form] == chat.near(chat.probabilities(chat.native()))


def test_openai(chat: Subject, ask: Ask) -> None:
    """An embedding of one number, in both encodings."""
    answers = ask("openai", chat, environment=HOME)
    for form in ("by_default", "floats"):
        assert answers[form] == chat.near(chat.native())
