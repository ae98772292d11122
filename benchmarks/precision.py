"""`python -m benchmarks.precision`: what int8 costs in order, accuracy and probability on real text.

Trains MiniLM on UKPConvArg1 (CC-BY-4.0; one side of a debate is the prompt, two arguments the responses), split by
debate, exports fp32 and int8, and compares both on the held-out debates. PREFERENCE_DATA names the folder that
holds `ukpconvarg1/`; without it this ends with a word and nothing else.
"""

import argparse
import gzip
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import QuantType, quantize_dynamic

from metrics.comparison import mcnemar
from model_export.checkpoint import open_checkpoint
from model_export.pairs import LabelledPair, pair_items
from model_export.to_onnx import export_fp32, quantise_int8
from model_export.verify import Measured, compare, run_backend
from plurality.demo.encoder import DEMO_MODEL, resolve_model
from service.runtime.ort import OrtBackend
from training.config import TrainConfig
from training.train import train

_FILE = "ukpconvarg1/UKPConvArg1-full.jsonl.gz"
_HELD_OUT = 8
"""Sides of debates (of 32) that are not trained on."""


def main() -> int:
    """Train, export, compare, print a Markdown table. Returns the process's status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000, help="pairs to train on")
    parser.add_argument("--test-pairs", type=int, default=1500)
    parser.add_argument("--checkpoint", type=Path, default=Path(".bench/ukp"), help="kept, and used again")
    options = parser.parse_args()
    source = Path(os.environ.get("PREFERENCE_DATA", "")) / _FILE
    if not source.is_file():
        print(f"PREFERENCE_DATA does not hold {_FILE}: nothing to measure on", file=sys.stderr)
        return 2
    training, test = split(source, options.pairs, options.test_pairs)
    if not (options.checkpoint / "plurality.json").exists():
        train_on(training, options.checkpoint)
    report(options.checkpoint, test)
    return 0


def split(source: Path, count: int, tested: int) -> tuple[list[LabelledPair], list[LabelledPair]]:
    """Pairs to train on and pairs of debates that none of those belongs to."""
    debates: dict[str, list[LabelledPair]] = {}
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if (label := fraction(row)) is not None:
                pair = LabelledPair(row["debateMetaData"]["title"], row["arg1"]["text"], row["arg2"]["text"], label)
                debates.setdefault(row["_source_file"], []).append(pair)
    names = sorted(debates)
    random.Random(0).shuffle(names)
    test = [pair for name in names[:_HELD_OUT] for pair in debates[name]]
    rest = [pair for name in names[_HELD_OUT:] for pair in debates[name]]
    return random.Random(1).sample(rest, count), random.Random(2).sample(test, min(tested, len(test)))


def fraction(row: Any) -> float | None:
    """The share of decided votes for the first argument; None where nobody decided."""
    votes = [vote["value"] for vote in row["mTurkAssignments"]]
    first, second = votes.count("a1"), votes.count("a2")
    return first / (first + second) if first + second else None


def train_on(pairs: Sequence[LabelledPair], output: Path) -> None:
    """A Bradley-Terry baseline, lower half frozen."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "train.jsonl"
        data.write_text("".join(f"{json.dumps(row)}\n" for row in rows(pairs)), encoding="utf-8")
        config = TrainConfig(
            model=resolve_model(DEMO_MODEL),
            data=data,
            output=output,
            epochs=2,
            learning_rate=1e-4,
            freeze_layers=3,
            max_length=256,
        )
        train(config, say=print)


def rows(pairs: Sequence[LabelledPair]) -> Iterator[dict[str, object]]:
    """The canonical rows; a majority is the label, even votes are left out."""
    for number, pair in enumerate(pairs):
        if pair.label != 0.5:
            yield {
                "id": str(number),
                "prompt": pair.prompt,
                "response_a": pair.response_a,
                "response_b": pair.response_b,
                "label": float(pair.label > 0.5),
            }


def report(directory: Path, test: Sequence[LabelledPair]) -> None:
    """Each precision against the fused fp32 file, one text a run as int8 is served."""
    checkpoint = open_checkpoint(str(directory))
    encodings = checkpoint.encode(pair_items(test))
    labels = np.array([pair.label for pair in test])
    with tempfile.TemporaryDirectory() as folder:
        [fp32] = export_fp32(checkpoint, Path(folder))
        [int8] = quantise_int8(fp32, Path(folder))
        plain = Path(folder) / "per-tensor-everything.onnx"
        quantize_dynamic(fp32, plain, weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": 1})
        reference, *others = (logits(path, encodings, checkpoint.format.pad_id) for path in (fp32, int8, plain))
    print("| precision | pairs | Spearman | accuracy | lost / gained | McNemar p (one-sided) | max abs ΔP |")
    print("|---|---|---|---|---|---|---|")
    base = right(reference, labels)
    print(f"| fp32 | {len(test)} | 1 | {base.mean():.4f} | | | |")
    for name, found in zip(("int8 as exported", "int8, per tensor, every layer"), others, strict=True):
        fidelity = compare(Measured(reference, found, labels))
        now = right(found, labels)
        lost, gained = int((base & ~now).sum()), int((now & ~base).sum())
        print(
            f"| {name} | {len(test)} | {fidelity.spearman:.4f} | {now.mean():.4f} | {lost} / {gained} | "
            f"{mcnemar(lost, gained):.2g} | {fidelity.max_probability_change:.3f} |"
        )


def logits(path: Path, encodings: Sequence[Any], pad_id: int) -> Any:
    """Logits of one file."""
    with closing(OrtBackend.open(path.read_bytes(), external={}, device="cpu", threads=None)) as backend:
        return run_backend(backend, encodings, pad_id, alone=True)


def right(found: Any, labels: Any) -> Any:
    """Whether each decided pair's preferred side has the larger logit."""
    margin, decided = found[::2] - found[1::2], labels != 0.5
    return ((margin > 0) == (labels > 0.5))[decided]


if __name__ == "__main__":
    raise SystemExit(main())
