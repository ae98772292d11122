"""A running service, and what its native route says to the questions that clients are asked."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_export.sample_texts import sample_items
from service.bundle.formats import ChatFormat, PairFormat
from service.bundle.manifest import Manifest, parse_manifest
from service.bundle.tokenize import render_chat
from service.domain import ScoreItem
from service.scoring import Scored
from tests.e2e.process import serving
from tests.peer_clients.ask.questions import Question
from tests.peer_clients.environment import VARIABLE

SOURCES = "PLURALITY_CLIENT_SOURCES"
"""A folder with checkouts: slime, align-anything."""
STORE = "PLURALITY_TEST_STORE"
"""A store with one model, `stable`, to be asked instead of tiny random ones."""
_COUNT = 6


@dataclass(frozen=True)
class Subject:
    """A service that answers."""

    url: str
    manifest: Manifest
    checkpoint: Path | None
    """What the model was exported from, if it is known."""
    tolerance: float

    @property
    def questions(self) -> list[Question]:
        """Short texts, so that no client's cut differs from ours."""
        items = [item for item in sample_items(200, seed=11) if item.characters < 300]
        return [_question(item, self.manifest.input_format) for item in items[:_COUNT]]

    def native(self, *, prompt: str | None = None) -> list[float]:
        """Rewards of /rm/v1/score, or of all responses to one prompt."""
        items = [
            {"prompt": question.prompt if prompt is None else prompt, "response": question.response}
            for question in self.questions
        ]
        reply = httpx.post(self.url + "/rm/v1/score", json={"items": items})
        assert reply.status_code == 200, reply.text
        return [item["reward"] for item in reply.json()["items"]]

    def probabilities(self, rewards: list[float]) -> list[float]:
        """What routes say that do not give the reward itself."""
        return probabilities(self.manifest, rewards)

    def near(self, values: list[float]) -> Any:
        """Equal but for the last digits."""
        return pytest.approx(values, abs=self.tolerance, rel=self.tolerance)

    def asked(self, sources: str | None) -> dict[str, Any]:
        """The file that a client's script reads."""
        questions = [asdict(question) for question in self.questions]
        checkpoint = str(self.checkpoint) if self.checkpoint else None
        return {"model": self.manifest.model, "checkpoint": checkpoint, "sources": sources, "questions": questions}


@contextmanager
def subject(store: Path, checkpoint: Path | None, *, tolerance: float) -> Iterator[Subject]:
    """Serve a store with one model, which also answers to its checkpoint's path: that is the name that verl knows."""
    manifest = stable(store)
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            for name in (VARIABLE, SOURCES, STORE):  # a setting that it does not know stops the service
                environment.delenv(name, raising=False)
            if checkpoint:
                environment.setenv("PLURALITY_DIALECTS__MODELS", json.dumps({str(checkpoint): manifest.model}))
            served = stack.enter_context(serving(store))
        yield Subject(served.api, manifest, checkpoint, tolerance)
        assert served.stop() == 0


def probabilities(manifest: Manifest, rewards: list[float]) -> list[float]:
    """P(preferred over a response of median reward), calibrated if the version is."""
    scored = Scored(manifest, "", manifest.calibrator, outcomes=())
    return [scored.absolute_probability(reward) for reward in rewards]


def stable(store: Path) -> Manifest:
    """The manifest of a store's one model."""
    [pointer] = store.glob("*/pointer.json")
    digest = json.loads(pointer.read_bytes())["aliases"]["stable"]
    return parse_manifest((pointer.parent / "versions" / digest / "manifest.json").read_bytes())


def _question(item: ScoreItem, form: PairFormat | ChatFormat) -> Question:
    prompt = str(item.prompt)
    if isinstance(form, PairFormat):
        return Question(prompt, item.response, prompt + item.response, prompt)
    rendered = render_chat(item, form)
    return Question(prompt, item.response, rendered.text, rendered.text[: rendered.response_start])
