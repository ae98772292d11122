"""`python -m benchmarks.precision`: what each kind of 8-bit weights costs and saves, on real text.

Trains MiniLM on UKPConvArg1 (CC-BY-4.0; one side of a debate is the prompt, two arguments the responses), split by
debate, exports fp32 and every scheme of 8-bit weights, and compares them on the held-out debates: figures against fp32,
CPU time of one thread in interleaved rounds, and whether this CPU computes the scheme's products exactly.
PREFERENCE_DATA names the folder that holds `ukpconvarg1/`; without it this ends with a word and nothing else.
"""

import argparse
import gzip
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from tqdm import tqdm

from benchmarks.report import machine
from model_export.checkpoint import open_checkpoint
from model_export.pairs import pair_items
from model_export.to_onnx import export_fp32, kept_in_float, quantize_int8, quiet
from model_export.verify import Measured, compare, mcnemar, run_backend
from plurality.core.rows import PreferenceRow
from plurality.synthetic.encoder import DEMO_MODEL, resolve_model
from plurality.training.config import TrainConfig
from plurality.training.train import train
from service.engine.backend import pad
from service.engine.ort import open_session

_FILE = "ukpconvarg1/UKPConvArg1-full.jsonl.gz"
_HELD_OUT = 8
"""Sides of debates (of 32) that are not trained on."""
_TIMED = 60
"""Texts of a round."""
VNNI = {"avx512_vnni", "avx_vnni"}


def main() -> int:
    """Train, export, compare, print a Markdown table. Returns the process's status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000, help="pairs to train on")
    parser.add_argument("--test-pairs", type=int, default=1500)
    parser.add_argument("--checkpoint", type=Path, default=Path(".bench/ukp"), help="kept, and used again")
    parser.add_argument("--rounds", type=int, default=5, help="of CPU time")
    options = parser.parse_args()
    source = Path(os.environ.get("PREFERENCE_DATA", "")) / _FILE
    if not source.is_file():
        print(f"PREFERENCE_DATA does not hold {_FILE}: nothing to measure on", file=sys.stderr)
        return 2
    training, test = split(source, options.pairs, options.test_pairs)
    if not (options.checkpoint / "plurality.json").exists():
        train_on(training, options.checkpoint)
    report(options.checkpoint, test, options.rounds)
    return 0


def split(source: Path, count: int, tested: int) -> tuple[list[PreferenceRow], list[PreferenceRow]]:
    """Pairs to train on and pairs of debates that none of those belongs to."""
    debates: dict[str, list[PreferenceRow]] = {}
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            if (label := fraction(row)) is not None:
                pair = PreferenceRow(
                    id=str(number),
                    prompt=row["debateMetaData"]["title"],
                    response_a=row["arg1"]["text"],
                    response_b=row["arg2"]["text"],
                    label=label,
                )
                debates.setdefault(row["_source_file"], []).append(pair)
    names = sorted(debates)
    random.Random(0).shuffle(names)
    test = [pair for name in names[:_HELD_OUT] for pair in debates[name]]
    rest = [pair for name in names[_HELD_OUT:] for pair in debates[name]]
    return random.Random(1).sample(rest, count), random.Random(2).sample(test, min(tested, len(test)))


def fraction(row: Any) -> float | None:
    """Fraction of decided votes for the first argument; None without decided votes."""
    votes = [vote["value"] for vote in row["mTurkAssignments"]]
    first, second = votes.count("a1"), votes.count("a2")
    return first / (first + second) if first + second else None


def train_on(pairs: Sequence[PreferenceRow], output: Path) -> None:
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


def rows(pairs: Sequence[PreferenceRow]) -> Iterator[dict[str, object]]:
    """The canonical rows; a majority is the label, even votes are left out."""
    for number, pair in enumerate(pairs):
        if pair.preference != 0.5:
            yield {
                "id": str(number),
                "prompt": pair.prompt,
                "response_a": pair.response_a,
                "response_b": pair.response_b,
                "label": float(pair.preference > 0.5),
            }


def report(directory: Path, test: Sequence[PreferenceRow], rounds: int) -> None:
    """Each scheme against the fused fp32 file, one text a run as int8 is served."""
    checkpoint = open_checkpoint(str(directory))
    encodings = checkpoint.encode(pair_items(test))
    labels = np.array([pair.preference for pair in test])
    pad_id = checkpoint.format.pad_id
    with tempfile.TemporaryDirectory() as folder:
        [fp32] = export_fp32(checkpoint, Path(folder))
        files = {"fp32": fp32} | {name: make(fp32, Path(folder)) for name, make in SCHEMES.items()}
        found = {name: logits(path, encodings, pad_id) for name, path in files.items()}
        megabytes = {name: path.stat().st_size / 1e6 for name, path in files.items()}
        spent = cpu_times(files, encodings[:: max(1, len(encodings) // _TIMED)], pad_id, rounds)
    print(f"{machine()} VNNI: {'yes' if VNNI & cpu_flags() else 'no'}.\n")
    print("| weights | Spearman | accuracy | lost / gained | McNemar p | max abs ΔP | fp32 time / its time | MB |")
    print("|---|---|---|---|---|---|---|---|")
    base = right(found["fp32"], labels)
    for name, values in found.items():
        fidelity = compare(Measured(found["fp32"], values, labels))
        now = right(values, labels)
        lost, gained = int((base & ~now).sum()), int((now & ~base).sum())
        ratios = spent["fp32"] / spent[name]
        speed = f"{np.median(ratios):.2f} ({ratios.min():.2f}-{ratios.max():.2f})"
        print(
            f"| {name} | {fidelity.spearman:.4f} | {now.mean():.4f} | {lost} / {gained} | "
            f"{mcnemar(lost, gained):.2g} | {fidelity.max_probability_change:.3f} | {speed} | {megabytes[name]:.0f} |"
        )


def _dynamic(**options: Any) -> Callable[[Path, Path], Path]:
    """A scheme of onnxruntime's own dynamic quantization, with the layers in float that the export keeps in float."""

    def make(fp32: Path, folder: Path) -> Path:
        path = folder / f"{'-'.join(map(str, options.values()))}.onnx"
        kept = kept_in_float(fp32)
        with quiet():
            quantize_dynamic(fp32, path, nodes_to_exclude=kept, extra_options={"DefaultTensorType": 1}, **options)
        return path

    return make


def _blockwise(fp32: Path, folder: Path) -> Path:
    """Symmetric blocks of 32 weights, activations by row and block."""
    path = folder / "blockwise.onnx"
    with quiet():
        quantizer = MatMulNBitsQuantizer(
            onnx.load(fp32),
            bits=8,
            block_size=32,
            is_symmetric=True,
            accuracy_level=4,
            nodes_to_exclude=kept_in_float(fp32),
        )
        quantizer.process()
        quantizer.model.save_model_to_file(str(path))
    return path


SCHEMES: Mapping[str, Callable[[Path, Path], Path]] = {
    "int8 as exported: signed, bounded pairs": lambda fp32, folder: quantize_int8(fp32, folder)[0],
    "signed, full range": _dynamic(weight_type=QuantType.QInt8, per_channel=True),
    "signed, reduce_range": _dynamic(weight_type=QuantType.QInt8, per_channel=True, reduce_range=True),
    "unsigned, per channel": _dynamic(weight_type=QuantType.QUInt8, per_channel=True),
    "unsigned, per tensor": _dynamic(weight_type=QuantType.QUInt8, per_channel=False),
    "block-wise 8 bit": _blockwise,
}


def cpu_times(files: Mapping[str, Path], encodings: Sequence[Any], pad_id: int, rounds: int) -> dict[str, Any]:
    """CPU seconds of one thread for all texts, float64 [rounds] a file; every round runs every file."""
    batches = [pad([encoding], pad_id) for encoding in encodings]
    spent: dict[str, list[float]] = {name: [] for name in files}
    with ExitStack() as stack:
        backends = {
            name: stack.enter_context(closing(open_session(path.read_bytes(), external={}, device="cpu", threads=1)))
            for name, path in files.items()
        }
        for _ in tqdm(range(rounds), desc="CPU time", unit="round"):
            for name, backend in backends.items():
                started = time.thread_time()
                for batch in batches:
                    backend.run(batch)
                spent[name].append(time.thread_time() - started)
    return {name: np.array(values) for name, values in spent.items()}


def cpu_flags() -> set[str]:
    """What /proc/cpuinfo says that the processor can do."""
    cpu = Path("/proc/cpuinfo")
    return set(cpu.read_text(encoding="utf-8").split()) if cpu.exists() else set()


def logits(path: Path, encodings: Sequence[Any], pad_id: int) -> Any:
    """Logits of one file."""
    with closing(open_session(path.read_bytes(), external={}, device="cpu", threads=None)) as backend:
        return run_backend(backend, encodings, pad_id, alone=True)


def right(found: Any, labels: Any) -> Any:
    """Whether each decided pair's preferred side has the larger logit."""
    margin, decided = found[::2] - found[1::2], labels != 0.5
    return ((margin > 0) == (labels > 0.5))[decided]


if __name__ == "__main__":
    raise SystemExit(main())
