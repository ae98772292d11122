"""Two services, a model that reads pairs and one that reads chats, and a way to ask them through a client."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import transformers as hf
from tokenizers import processors

from model_export.checkpoint import open_checkpoint
from model_export.pipeline import Target, export
from service.bundle.formats import PairFormat
from tests.e2e.process import ROOT
from tests.peer_clients.environment import VARIABLE, built
from tests.peer_clients.served import SOURCES, STORE, Subject, stable, subject
from tests.tiny import build_tiny_checkpoint

Answers = dict[str, list[float]]
Ask = Callable[..., Answers]
_QUIET = {"TOKENIZERS_PARALLELISM": "false", "NO_PROXY": "127.0.0.1"}
_OFFLINE = {"trainers": {"HF_HUB_OFFLINE": "1"}}
"""Tokenizers are folders there, and nothing is looked up. The Hub's own client would refuse to ask anyone."""
_SAME = 1e-6
_TORCH = 1e-5
"""What the service promises across batches; a trained model's rewards use it up, a tiny one's do not."""


def _given(*, pair: bool) -> Path | None:
    """The store that the user gave, if its model reads such input."""
    store = os.environ.get(STORE)
    if store and isinstance(stable(Path(store)).input_format, PairFormat) == pair:
        return Path(store).absolute()
    return None


@pytest.fixture(scope="session")
def pair(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """A calibrated model that reads prompt and response as two segments."""
    _environments()
    if given := _given(pair=True):
        with subject(given, None, tolerance=_TORCH) as running:
            yield running
        return
    with subject(request.getfixturevalue("published"), None, tolerance=_SAME) as running:
        yield running


@pytest.fixture(scope="session")
def chat_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with `chatty`, beside its checkpoint: a Llama whose tokenizer adds BOS, as Llama 3's does."""
    checkpoint = build_tiny_checkpoint("llama", tmp_path_factory.mktemp("chat") / "checkpoint")
    tokenizer = hf.AutoTokenizer.from_pretrained(checkpoint)
    bos = tokenizer.bos_token
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
    tokenizer.save_pretrained(checkpoint)
    store = checkpoint.parent / "store"
    export(open_checkpoint(str(checkpoint)), Target(store, "chatty", ("fp32",)), held_out=[], say=lambda _: None)
    return store


@pytest.fixture(scope="session")
def chat(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """An uncalibrated model that reads a chat template."""
    _environments()
    if given := _given(pair=False):
        with subject(given, None, tolerance=_TORCH) as running:
            yield running
        return
    store: Path = request.getfixturevalue("chat_store")
    with subject(store, store.parent / "checkpoint", tolerance=_SAME) as running:
        yield running


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Run a script of `ask/` in its client's environment; what it says, by name."""

    def run(script: str, asked: Subject, *, environment: str, sources: str | None = None) -> Answers:
        python = _python(environment)
        file = tmp_path / "asked.json"
        file.write_text(json.dumps(asked.asked(_checkout(sources) if sources else None)))
        command = [str(python), "-m", f"tests.peer_clients.ask.{script}", "--url", asked.url, str(file)]
        variables = _QUIET | _OFFLINE.get(environment, {}) | {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=variables, timeout=280, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        answers: Answers = json.loads(done.stdout.splitlines()[-1])
        return answers

    return run


def _environments() -> Path:
    work = os.environ.get(VARIABLE)
    if not work:
        pytest.skip(f"{VARIABLE} does not say where the clients' environments are: `make test-clients` builds them")
    return Path(work)


def _python(environment: str) -> Path:
    work = _environments()
    if python := built(environment, work):
        return python
    return pytest.skip(
        f"no environment {environment} in {work}: python -m tests.peer_clients.environment {environment}"
    )


def _checkout(name: str) -> str:
    sources = os.environ.get(SOURCES)
    if not sources or not (Path(sources) / name).is_dir():
        pytest.skip(f"no package index has {name}; {SOURCES} names no folder with a checkout of it")
    return sources
