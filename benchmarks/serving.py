"""`python -m benchmarks.serving`: the service against the offline limit, same texts, same process count, interleaved.

Offline limit: the same bundle through onnxruntime, tokenisation included, texts sorted by length, no HTTP. Service: a
real `plurality serve` process, a closed loop of clients. Prints items/s of both and their ratio, round by round.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from model_export.checkpoint import open_checkpoint
from model_export.pipeline import Target, export
from model_export.sample_texts import sample_items
from model_export.verify import run_backend
from plurality.demo.ask import service
from plurality.demo.encoder import DEMO_MODEL, resolve_model
from service.domain import Encoding, ScoreItem
from service.repository.load import LoadedModel, load_model
from service.repository.store import version_directory


def main() -> None:
    """Parse, publish an untrained MiniLM (speed does not depend on the weights), measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=256, help="texts of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--per-request", type=int, nargs="+", default=[1, 32])
    options = parser.parse_args()
    items = sample_items(options.items, seed=11)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        checkpoint = open_checkpoint(resolve_model(DEMO_MODEL), new_head=True)
        [published] = export(checkpoint, Target(store, "bench", ("fp32",)))
        model = load_model(version_directory(store, "bench", published.digest))
        with closing(model.backend), service(store) as url:
            for size in options.per_request:
                compare(model, url, items, size, options.rounds, options.concurrency)


def compare(model: LoadedModel, url: str, items: list[ScoreItem], size: int, rounds: int, concurrency: int) -> None:
    """Interleave rounds of both; print each and the median ratio."""
    ratios = []
    for number in range(rounds + 1):
        offline, served = offline_rate(model, items), asyncio.run(served_rate(url, items, size, concurrency))
        if number:  # the first round warms both up
            ratios.append(served / offline)
            print(
                f"{size:>3} a request  round {number}: offline {offline:6.1f}  service {served:6.1f}  {ratios[-1]:.3f}"
            )
    print(f"{size:>3} a request  median ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def offline_rate(model: LoadedModel, items: list[ScoreItem]) -> float:
    """Items per second without HTTP."""
    started = time.perf_counter()
    encodings = [entry for entry in model.tokeniser.encode(items) if isinstance(entry, Encoding)]
    run_backend(model.backend, encodings, model.pad_id, alone=False)
    return len(items) / (time.perf_counter() - started)


async def served_rate(url: str, items: list[ScoreItem], size: int, concurrency: int) -> float:
    """Items per second of a closed loop with `concurrency` requests in flight."""
    bodies = [
        {"items": [{"prompt": item.prompt, "response": item.response} for item in items[start : start + size]]}
        for start in range(0, len(items), size)
    ]
    slots = asyncio.Semaphore(concurrency)
    async with httpx.AsyncClient(timeout=300, limits=httpx.Limits(max_connections=concurrency)) as client:

        async def ask(body: dict[str, Any]) -> None:
            async with slots:
                (await client.post(f"{url}/rm/v1/score", json=body)).raise_for_status()

        started = time.perf_counter()
        await asyncio.gather(*(ask(body) for body in bodies))
        return len(items) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
