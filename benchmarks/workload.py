"""What every benchmark works on: one trained model in every form, and texts of a given length distribution."""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from transformers import AutoTokenizer

from benchmarks.load import Request, prepare
from benchmarks.peers.process import ModelFiles
from model_export.checkpoint import open_checkpoint
from model_export.pipeline import Target, export
from model_export.sample_texts import sample_words
from model_export.to_onnx import quantize_int8
from plurality.synthetic.encoder import DEMO_MODEL, resolve_model
from plurality.synthetic.generate import DemoDataConfig, generate, write_jsonl
from plurality.training.config import TrainConfig
from plurality.training.load import load_rows
from plurality.training.train import train
from service.bundle.open import MODEL_FILE
from service.bundle.pointer import read_pointer
from service.bundle.store import version_directory
from service.domain import ScoreItem

WORK = Path(".bench")
MODEL = "bench"
_LOG_SIGMA = 0.6
_WORDS_PER_TOKEN = 0.97
"""Of the generated words, as MiniLM cuts them."""
_LONGEST_WORDS = 490
_PROMPT_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Workload:
    """A store with `bench` in fp32 and int8, and the same model as the peers read it."""

    store: Path
    files: ModelFiles
    digests: dict[str, str]
    """By precision."""


def make_workload(work: Path, *, checkpoint: Path | None, say: Callable[[str], None] = print) -> Workload:
    """Train (once) or take the checkpoint, publish it, save it for the peers.

    int8 is only published if it ranks as fp32 does, which an untrained head does not: so a small one is trained.
    """
    source = checkpoint or _trained(work, say)
    store = work / "store"
    if not (store / MODEL / "pointer.json").exists():
        held_out = [] if checkpoint else load_rows(work / "data" / "validation.jsonl")
        export(open_checkpoint(str(source)), Target(store, MODEL), held_out=held_out, say=say)
    aliases = read_pointer(store / MODEL).aliases
    digests = {name: aliases[alias] for name, alias in (("fp32", "stable"), ("int8", "int8")) if alias in aliases}
    return Workload(store, _for_peers(work, source, store, digests), digests)


def _trained(work: Path, say: Callable[[str], None]) -> Path:
    """A baseline on the demo's generated pairs; two minutes, once."""
    output = work / "checkpoint"
    if not (output / "plurality.json").exists():
        say("training a small model for the benchmark (once)")
        write_jsonl(generate(DemoDataConfig(seed=0)), work / "data")
        config = TrainConfig(
            model=resolve_model(DEMO_MODEL),
            data=work / "data" / "train.jsonl",
            output=output,
            epochs=1,
            learning_rate=1e-4,
            freeze_layers=4,
            max_length=512,
        )
        train(config, say=say)
    return output


def _for_peers(work: Path, source: Path, store: Path, digests: dict[str, str]) -> ModelFiles:
    folder = work / "peers"
    fp32 = version_directory(store, MODEL, digests["fp32"]) / MODEL_FILE
    checkpoint, plain, quantized = folder / "checkpoint", folder / "fp32" / "model.onnx", folder / "int8" / "model.onnx"
    if not quantized.exists():
        opened = open_checkpoint(str(source))
        opened.model.save_pretrained(checkpoint)
        AutoTokenizer.from_pretrained(source).save_pretrained(checkpoint)
        plain.parent.mkdir(parents=True, exist_ok=True)
        plain.write_bytes(fp32.read_bytes())
        quantize_int8(plain, folder)
    return ModelFiles(checkpoint, plain, quantized)


def make_texts(count: int, *, mean_tokens: int = 200, seed: int = 11) -> list[ScoreItem]:
    """Distinct texts whose lengths are log-normal (σ 0.6) around a mean, cut at 512 tokens; 30% of each is prompt."""
    source = random.Random(seed)
    items = []
    for number in range(count):
        spread = source.lognormvariate(-(_LOG_SIGMA**2) / 2, _LOG_SIGMA)
        words = max(8, min(_LONGEST_WORDS, round(mean_tokens * _WORDS_PER_TOKEN * spread)))
        prompt = round(words * _PROMPT_SHARE)
        items.append(ScoreItem(sample_words(source, prompt), f"{number} {sample_words(source, words - prompt)}"))
    return items


def read_texts(path: Path, count: int) -> list[ScoreItem]:
    """The first `count` lines {prompt, response} of a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
    return [ScoreItem(row["prompt"], row["response"]) for row in rows]


def as_pairs(items: Sequence[ScoreItem]) -> list[tuple[str, str]]:
    """As peers take them."""
    return [(str(item.prompt), item.response) for item in items]


def score_request(
    url: str, group: Sequence[ScoreItem], *, model: str | None = None, deadline_s: float = 300
) -> Request:
    """A request to our native route, as bytes. `url`: scheme, host and port."""
    items = [{"prompt": item.prompt, "response": item.response} for item in group]
    headers = (("X-Request-Timeout-Ms", str(round(1000 * deadline_s))),)
    return prepare(f"{url}/rm/v1/score", msgspec.json.encode({"model": model, "items": items}), len(group), headers)


def selector(precision: str) -> str:
    """The benchmark's model in a precision."""
    return f"{MODEL}@{'stable' if precision == 'fp32' else precision}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every benchmark has."""
    parser.add_argument("--checkpoint", type=Path, help="a reward model to serve; by default a small one is trained")
    parser.add_argument("--work", type=Path, default=WORK, help="environments, models and raw figures")
    parser.add_argument("--output", type=Path, default=Path("docs/results"), help="where the page and plots go")
