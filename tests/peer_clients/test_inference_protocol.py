"""Clients of the Open Inference Protocol."""

import pytest

from tests.peer_clients.conftest import Ask
from tests.peer_clients.served import Subject

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("model", ["pair", "chat"])
def test_tritonclient(model: str, request: pytest.FixtureRequest, ask: Ask) -> None:
    """Binary and JSON tensors, mixed in one request; a version by its alias."""
    subject: Subject = request.getfixturevalue(model)
    answers = ask("tritonclient", subject, environment="sdk")
    rewards = subject.native()
    for form in ("binary", "mixed", "json", "version"):
        assert answers[form] == subject.near(rewards)
    assert answers["probability"] == subject.near(subject.probabilities(rewards))
    if model == "chat":
        assert answers["texts"] == subject.near(rewards)


@pytest.mark.parametrize("model", ["pair", "chat"])
def test_pytriton(model: str, request: pytest.FixtureRequest, ask: Ask) -> None:
    """It reads the configuration, then asks for every output in it."""
    subject: Subject = request.getfixturevalue(model)
    answers = ask("pytriton", subject, environment="pytriton")
    assert answers["scores"] == subject.near(subject.native())
    assert answers["rewards"] == subject.near(subject.native())


@pytest.mark.parametrize("model", ["pair", "chat"])
def test_kserve(model: str, request: pytest.FixtureRequest, ask: Ask) -> None:
    """Both protocols of its client."""
    subject: Subject = request.getfixturevalue(model)
    answers = ask("kserve", subject, environment="kserve")
    for form in ("json", "binary", "v1"):
        assert answers[form] == subject.near(subject.native())
