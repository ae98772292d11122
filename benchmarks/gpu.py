"""`python -m benchmarks.gpu`: the service on a CUDA GPU against the engine alone and against torch. Needs a GPU.

Interleaved rounds of the same texts:
  service   a real `plurality serve --device cuda` process over HTTP, a closed loop of clients; fp16 and fp32
  direct    the same bundle through onnxruntime-CUDA with IO binding: the offline limit
  torch     transformers in fp16 with sdpa, padded; results fetched once, at the end
The service tokenizes, pads and answers within its time; direct and torch get batches that were tokenized, sorted by
length and padded before, so both ratios are against the engine alone.

Targets: service over direct >= 0.9, service fp16 over torch fp16 >= 1.2. Prints each round, writes docs/results/gpu.md.
The service reads its settings from the environment: PLURALITY_BATCHING__MAX_TOKENS=32768 python -m benchmarks.gpu

Needs the extras `gpu`, `train`, `demo`, `dev` and a torch with CUDA. Exit code 2, and nothing written, without a GPU.
"""

import argparse
import asyncio
import importlib.metadata
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import torch
from transformers import AutoModelForSequenceClassification

from model_export.checkpoint import open_checkpoint
from model_export.pipeline import Target, export
from model_export.sample_texts import sample_items
from plurality.core.errors import ConfigurationError
from plurality.synthetic.ask import service
from plurality.synthetic.encoder import DEMO_MODEL, resolve_model
from service.bundle.manifest import Precision
from service.bundle.open import load_model
from service.bundle.store import version_directory
from service.bundle.tokenize import ItemTokenizer
from service.domain import Batch, Device, Encoding, ScoreItem
from service.engine.backend import Backend, pad
from service.engine.ort import check_runtime

DEVICE: Device = "cuda"
PAGE = Path("docs/results/gpu.md")
PRECISIONS: tuple[Precision, ...] = ("fp16", "fp32")
TARGETS = {"service fp16 / direct fp16": 0.9, "service fp32 / direct fp32": 0.9, "service fp16 / torch fp16": 1.2}
Rates = dict[str, list[float]]
"""Items per second, a number a round, by contender."""


def main() -> None:
    """Parse, refuse without a GPU, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEMO_MODEL, help="directory or hub id; `demo`: MiniLM, untrained head")
    parser.add_argument("--items", type=int, default=8192, help="texts of one round")
    parser.add_argument("--rounds", type=int, default=7, help="at least 5; one more warms up and is not counted")
    parser.add_argument("--batch", type=int, default=64, help="texts of an engine call, in direct and torch")
    parser.add_argument("--concurrency", type=int, default=64, help="requests in flight")
    parser.add_argument("--per-request", type=int, default=32, help="items of one request")
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error("fewer than 5 rounds show no spread")
    refuse_without_gpu()
    text = report(measure(options), vars(options), versions())
    print(text)
    PAGE.write_text(text, encoding="utf-8")


def refuse_without_gpu() -> None:
    """End with exit code 2 and the reason where onnxruntime or torch has no GPU."""
    try:
        check_runtime(DEVICE)
        if torch.cuda.is_available():
            return
        reason = "this torch has no CUDA; install a build of torch with CUDA"
    except ConfigurationError as error:
        reason = error.message
    print(f"not run: {reason}", file=sys.stderr)
    sys.exit(2)


def measure(options: argparse.Namespace) -> Rates:
    """Publish both precisions, start the service on them, interleave the rounds."""
    items = sample_items(options.items, seed=11)
    source = resolve_model(options.model)
    os.environ["PLURALITY_RUNTIME__DEVICE"] = DEVICE
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        store = Path(folder) / "store"
        checkpoint = open_checkpoint(source, new_head=options.model == DEMO_MODEL)
        found = export(checkpoint, Target(store, "bench", PRECISIONS, ("fp16",)))
        if len(found) < len(PRECISIONS):
            raise SystemExit("a precision was refused: nothing to compare")
        ready = batches(checkpoint.tokenizer, items, options.batch)
        contenders: dict[str, Callable[[], float]] = {}
        url = stack.enter_context(service(store))
        for precision, entry in zip(PRECISIONS, found, strict=True):
            model = load_model(version_directory(store, "bench", entry.digest), device=DEVICE)
            stack.enter_context(closing(model.backend))
            requests = bodies(items, f"bench@{precision}", options.per_request)
            contenders[f"service {precision}"] = partial(served, url, requests, options.concurrency)
            contenders[f"direct {precision}"] = partial(direct, model.backend, ready)
        half = {"dtype": torch.float16, "attn_implementation": "sdpa"}
        peer = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1, **half).eval().to(DEVICE)
        contenders["torch fp16"] = partial(torch_half, peer, ready)
        return interleave(contenders, len(items), options.rounds)


def interleave(contenders: Mapping[str, Callable[[], float]], items: int, rounds: int) -> Rates:
    """Run every contender once a round; round 0 only warms them up."""
    rates: Rates = {name: [] for name in contenders}
    for number in range(rounds + 1):
        found = {name: items / seconds() for name, seconds in contenders.items()}
        print(f"round {number}: " + "  ".join(f"{name} {rate:.0f}" for name, rate in found.items()))
        for name, rate in found.items() if number else ():
            rates[name].append(rate)
    return rates


def bodies(items: Sequence[ScoreItem], model: str, size: int) -> list[dict[str, Any]]:
    """Requests of `size` items each."""
    texts = [{"prompt": item.prompt, "response": item.response} for item in items]
    return [{"model": model, "items": texts[start : start + size]} for start in range(0, len(texts), size)]


def served(url: str, requests: Sequence[dict[str, Any]], concurrency: int) -> float:
    """Seconds of a closed loop with `concurrency` requests in flight."""
    return asyncio.run(_closed_loop(url, requests, concurrency))


async def _closed_loop(url: str, requests: Sequence[dict[str, Any]], concurrency: int) -> float:
    slots = asyncio.Semaphore(concurrency)
    async with httpx.AsyncClient(timeout=300, limits=httpx.Limits(max_connections=concurrency)) as client:

        async def ask(body: dict[str, Any]) -> None:
            async with slots:
                (await client.post(f"{url}/rm/v1/score", json=body)).raise_for_status()

        started = time.perf_counter()
        await asyncio.gather(*(ask(body) for body in requests))
        return time.perf_counter() - started


def batches(tokenizer: ItemTokenizer, items: Sequence[ScoreItem], size: int) -> list[Batch]:
    """Sorted by length, so that little is padding."""
    encodings = [entry for entry in tokenizer.encode(items) if isinstance(entry, Encoding)]
    encodings.sort(key=lambda entry: len(entry.ids))
    pad_id = tokenizer.format.pad_id
    return [pad(encodings[start : start + size], pad_id) for start in range(0, len(encodings), size)]


def direct(backend: Backend, ready: Sequence[Batch]) -> float:
    """Seconds of the engine alone, with IO binding."""
    started = time.perf_counter()
    for batch in ready:
        backend.run(batch)
    return time.perf_counter() - started


@torch.inference_mode()
def torch_half(model: Any, ready: Sequence[Batch]) -> float:
    """Seconds of torch; nothing waits for the GPU before the end."""
    started = time.perf_counter()
    logits = []
    for batch in ready:
        ids, mask = (torch.from_numpy(part).to(DEVICE) for part in (batch.input_ids_BT, batch.attention_mask_BT))
        logits.append(model(input_ids=ids, attention_mask=mask).logits[:, 0])
    torch.cat(logits).float().cpu()
    return time.perf_counter() - started


def versions() -> str:
    """What ran, and on what."""
    names = ("plurality", "onnxruntime-gpu", "torch", "transformers", "tokenizers")
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return f"{torch.cuda.get_device_name()}; {found}; CUDA {torch.version.cuda}; {os.cpu_count()} CPU cores"


def report(rates: Rates, options: Mapping[str, object], setup: str) -> str:
    """The page: medians with their spread, and the ratios against their targets."""
    command = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
    lines = ["# On a GPU", "", f"`python -m benchmarks.gpu {command}`", "", f"{setup}.", ""]
    lines += ["| | items/s, median | least to most |", "|---|---|---|"]
    lines += [f"| {name} | {statistics.median(r):.0f} | {min(r):.0f} to {max(r):.0f} |" for name, r in rates.items()]
    lines += ["", "| ratio, by round | median | least to most | target | |", "|---|---|---|---|---|"]
    for name, target in TARGETS.items():
        ratios = [a / b for a, b in zip(*(rates[contender] for contender in name.split(" / ")), strict=True)]
        middle = statistics.median(ratios)
        spread, verdict = f"{min(ratios):.2f} to {max(ratios):.2f}", "met" if middle >= target else "missed"
        lines.append(f"| {name} | {middle:.2f} | {spread} | >= {target} | {verdict} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
