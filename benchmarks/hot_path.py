"""`python -m benchmarks.hot_path`: what a request costs around the engine, with an engine that costs next to nothing.

A random two-layer model of width 32 is served by real processes: with the engine in its own process (the default),
with it in the service's, and, with --before CHECKOUT, by the code of another commit. Interleaved rounds; in each
the p50 of a lone request less that of a direct call (tokenize and run), and CPU time (of all of a service's processes)
and requests a second under load. --flame also draws a flame graph by py-spy (`pip install py-spy`). Writes
docs/results/hot-path.md and the raw figures, hot-path.json.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
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

_MODEL = "tiny"
_FLAME_S = 8
_PUBLISH = (
    "import pathlib, sys; from tests.tiny import publish_tiny; "
    "publish_tiny(pathlib.Path(sys.argv[1]), sys.argv[2], calibrated=False)"
)
Row = dict[str, float]
_FIGURES = (
    ("lone", "lone request, p50, ms", 2),
    ("extra", "the same less a direct call's (target <= 1.0)", 2),
    ("cpu_1", "CPU a request, 32 clients x 1, ms", 3),
    ("around", "the same less a direct call's", 3),
    ("rate_1", "requests a second, 32 clients x 1", 0),
    ("cpu_32", "CPU an item, 32 clients x 32, ms", 3),
)


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--before", type=Path, help="a checkout of another commit, to compare with")
    parser.add_argument("--flame", type=Path, help="an .svg to write")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    store = (options.work / "hot-path" / "store").resolve()
    if not store.exists():  # by the older code, which may not read what newer code writes
        command = [sys.executable, "-c", _PUBLISH, str(store), _MODEL]
        subprocess.run(command, cwd=options.before, check=True)  # noqa: S603 - our own code
    texts = make_texts(options.items, mean_tokens=60)
    model = load_model(version_directory(store, _MODEL, read_pointer(store / _MODEL).aliases["stable"]), threads=1)
    settings = {"BATCHING__DEDUPE": "false"}
    with ExitStack() as stack:
        stack.callback(model.backend.close)

        def start(*, checkout: Path | None = None, **more: str) -> Service:
            return stack.enter_context(serving(store, options.work.resolve(), settings | more, checkout=checkout))

        services = {"engine process": start(), "engine in the service": start(RUNTIME__ENGINE="in_process")}
        if options.before:
            services["before"] = start(checkout=options.before.resolve())
        rounds = [_round(model, services, texts) for _ in range(options.rounds + 1)][1:]
        if options.flame:
            _flame(services["engine process"], texts, options.flame)
    _write(options.output, rounds, _command(options))


def _command(options: argparse.Namespace) -> str:
    before = " --before CHECKOUT" if options.before else ""
    return f"python -m benchmarks.hot_path --rounds {options.rounds} --items {options.items}{before}"


def _round(model: LoadedModel, services: dict[str, Service], texts: list[ScoreItem]) -> dict[str, Row]:
    times, cpu = [], time.process_time()
    for item in texts:
        began = time.perf_counter()
        score_now(model, [item])
        times.append(time.perf_counter() - began)
    direct = {"lone": 1e3 * statistics.median(times), "cpu_1": 1e3 * (time.process_time() - cpu) / len(texts)}
    return {"direct call": direct} | {name: _measured(service, texts, direct) for name, service in services.items()}


def _measured(service: Service, texts: list[ScoreItem], direct: Row) -> Row:
    lone = uvloop.run(closed_loop(service.url, _requests(service, texts, 1), concurrency=1, total=len(texts)))
    found = {"lone": 1e3 * statistics.median(reply.seconds for reply in lone.ok)}
    for size in (1, 32):
        requests = _requests(service, texts, size)
        before, began = cpu_seconds(service.pid), time.perf_counter()
        outcome = uvloop.run(closed_loop(service.url, requests, concurrency=32, total=8 * len(texts) // size))
        found[f"rate_{size}"] = len(outcome.ok) / (time.perf_counter() - began)
        spent = cpu_seconds(service.pid) - before
        found[f"cpu_{size}"] = 1e3 * spent / sum(reply.items for reply in outcome.ok)
    return found | {"extra": found["lone"] - direct["lone"], "around": found["cpu_1"] - direct["cpu_1"]}


def _write(folder: Path, rounds: Sequence[dict[str, Row]], command: str) -> None:
    names = [name for name in rounds[0] if name != "direct call"]
    direct = [row["direct call"] for row in rounds]
    lines = [
        "# The hot path\n",
        f"Made by `{command}`; raw figures in hot-path.json. {machine()} "
        "A random model of two layers, width 32, texts of 60 tokens on average. Median (least–most) of the rounds. "
        f"A direct call (tokenize and run): p50 {spread((row['lone'] for row in direct), 2)} ms, "
        f"CPU {spread((row['cpu_1'] for row in direct), 3)} ms.\n",
        f"| | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for key, label, digits in _FIGURES:
        cells = (spread((row[name][key] for row in rounds), digits) for name in names)
        lines.append(f"| {label} | {' | '.join(cells)} |")
    if "before" in names:
        faster = spread((row[names[0]]["rate_1"] / row["before"]["rate_1"] for row in rounds), 2)
        lines.append(f"\nRequests a second, {names[0]} over before, in the same round: {faster}.")
    lines.append("")
    print("\n".join(lines))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hot-path.md").write_text("\n".join(lines), encoding="utf-8")
    (folder / "hot-path.json").write_text(json.dumps(rounds, indent=1) + "\n", encoding="utf-8")


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
