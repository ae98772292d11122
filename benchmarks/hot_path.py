"""`python -m benchmarks.hot_path`: what a request costs around the engine, with an engine that costs next to nothing.

A random two-layer model of width 32 is served by a real process. Prints, for interleaved rounds, the p50 of a lone
request less that of a direct call (tokenize and run), and the server's CPU time a request under load; with --flame
also a flame graph by py-spy (`pip install py-spy`). Writes docs/results/hot-path.md.
"""

import argparse
import statistics
import subprocess
import time
from contextlib import closing
from pathlib import Path

import uvloop

from benchmarks.load import Request, closed_loop
from benchmarks.processes import Service, cpu_seconds, serving
from benchmarks.report import machine, spread
from benchmarks.workload import WORK, make_texts, score_request
from service.bundle.open import LoadedModel, load_model, score_now
from service.bundle.pointer import read_pointer
from service.bundle.store import version_directory
from service.domain import ScoreItem
from tests.tiny import publish_tiny

_MODEL = "tiny"
_FLAME_S = 8


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--flame", type=Path, help="an .svg to write")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    store = options.work / "tiny" / "store"
    if not store.exists():
        publish_tiny(store, _MODEL, calibrated=False)
    texts = make_texts(options.items, mean_tokens=60)
    digest = read_pointer(store / _MODEL).aliases["stable"]
    model = load_model(version_directory(store, _MODEL, digest), threads=1)
    with closing(model.backend), serving(store, options.work, {"BATCHING__DEDUPE": "false"}) as service:
        rows = [_round(model, service, texts) for _ in range(options.rounds + 1)][1:]
        if options.flame:
            _flame(service, texts, options.flame)
    text = "\n".join([
        "# The hot path\n",
        f"Made by `python -m benchmarks.hot_path --rounds {options.rounds}`. {machine()} "
        f"A random model of two layers, width 32; {options.items} texts. Median (least–most) of the rounds.\n",
        "| | |",
        "|---|---|",
        f"| direct call, p50, ms | {spread((row['direct'] for row in rows), 2)} |",
        f"| lone request, p50, ms | {spread((row['lone'] for row in rows), 2)} |",
        f"| difference, ms (target <= 1.0) | {spread((row['lone'] - row['direct'] for row in rows), 2)} |",
        f"| server's CPU a request, 32 clients x 1, ms | {spread((row['cpu_1'] for row in rows), 2)} |",
        f"| the same of a direct call, ms | {spread((row['direct_cpu'] for row in rows), 2)} |",
        f"| server's CPU an item, 32 clients x 32, ms | {spread((row['cpu_32'] for row in rows), 2)} |",
        "",
    ])  # fmt: skip
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "hot-path.md").write_text(text, encoding="utf-8")


def _round(model: LoadedModel, service: Service, texts: list[ScoreItem]) -> dict[str, float]:
    times, cpu = [], time.process_time()
    for item in texts:
        began = time.perf_counter()
        score_now(model, [item])
        times.append(time.perf_counter() - began)
    found = {"direct": 1e3 * statistics.median(times), "direct_cpu": 1e3 * (time.process_time() - cpu) / len(texts)}
    lone = uvloop.run(closed_loop(service.url, _requests(service, texts, 1), concurrency=1, total=len(texts)))
    found["lone"] = 1e3 * statistics.median(reply.seconds for reply in lone.ok)
    for size in (1, 32):
        requests = _requests(service, texts, size)
        before = cpu_seconds(service.pid)
        outcome = uvloop.run(closed_loop(service.url, requests, concurrency=32, total=4 * len(texts) // size))
        spent = cpu_seconds(service.pid) - before
        found[f"cpu_{size}"] = 1e3 * spent / sum(reply.items for reply in outcome.ok)
    return found


def _requests(service: Service, texts: list[ScoreItem], size: int) -> list[Request]:
    groups = [texts[start : start + size] for start in range(0, len(texts), size)]
    return [score_request(service.url, group, deadline_s=30) for group in groups]


def _flame(service: Service, texts: list[ScoreItem], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["py-spy", "record", "--pid", str(service.pid), "--duration", str(_FLAME_S), "--output", str(path)]
    recorder = subprocess.Popen(command)  # noqa: S603 - our own process is looked at
    load = closed_loop(service.url, _requests(service, texts, 1), concurrency=8, seconds=_FLAME_S + 2)
    uvloop.run(load)
    recorder.wait()


if __name__ == "__main__":
    main()
