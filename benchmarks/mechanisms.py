"""`python -m benchmarks.mechanisms`: what each mechanism of the scheduler gains, by switching it off.

Each row serves the same requests with one setting changed, in interleaved rounds; ratios are within a round. Prints a
Markdown table and writes docs/results/mechanisms.md.
"""

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop
from tqdm import tqdm

from benchmarks.load import Request, closed_loop, open_loop
from benchmarks.processes import cpu_seconds, serving
from benchmarks.report import machine, spread
from benchmarks.workload import add_options, make_texts, make_workload, score_request, selector
from service.domain import ScoreItem
from service.engine.policy import BatchLimits, Cell, CostModel, Policy
from service.engine.queue import PendingQueue

_ALL = "all on"

_DEADLINE_S = 2.0
_OVERLOAD_S = 10.0


@dataclass(frozen=True, slots=True)
class Case:
    """A mechanism, the setting that takes it away, and the requests that show it."""

    mechanism: str
    off: dict[str, str]
    requests: str
    precision: str = "fp32"


CASES = (
    Case("batches of least predicted time (off: order of arrival, 8 a batch)",
         {"BATCHING__SCHEDULER": "fifo", "BATCHING__MAX_ITEMS": "8"}, "mixed"),
    Case("workers x threads from the profile (off: one worker)", {"BATCHING__WORKERS": "1"}, "mixed"),
    Case("workers x threads from the profile (off: one worker), int8", {"BATCHING__WORKERS": "1"}, "mixed", "int8"),
    Case("identical items in flight computed once", {"BATCHING__DEDUPE": "false"}, "repeated"),
    Case("a shared prompt tokenized once", {"BATCHING__SHARE_PROMPTS": "false"}, "group", "int8"),
)  # fmt: skip


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=128)
    add_options(parser)
    options = parser.parse_args()
    store = make_workload(options.work, checkpoint=options.checkpoint).store
    lines = [
        "| mechanism | requests | items a second, on / off | items per CPU second, on / off |",
        "|---|---|---|---|",
    ]
    for case in tqdm(CASES, desc="mechanisms", unit="case"):
        wall, cpu = measure(case, store, options.work, options.items, options.rounds)
        lines.append(f"| {case.mechanism} | {case.requests} | {spread(wall, 2)} | {spread(cpu, 2)} |")
    command = f"python -m benchmarks.mechanisms --rounds {options.rounds} --items {options.items}"
    text = "\n".join([
        "# What each mechanism gains\n",
        f"Made by `{command}`. {machine()} 32 clients; ratio of the rounds: median (least–most). `mixed`: texts "
        "of 200 tokens on average, one a request; `repeated`: each text asked four times at once; `group`: 32 "
        "responses of 20 tokens to one prompt of 400.\n",
        *lines,
        "\n## Overload\n",
        *overload(store, options.work, options.rounds),
        "\n## Planning\n",
        *planning(),
        "",
    ])  # fmt: skip
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "mechanisms.md").write_text(text, encoding="utf-8")


def measure(case: Case, store: Path, work: Path, items: int, rounds: int) -> tuple[list[float], list[float]]:
    """Ratios on/off of items a second and of items per CPU second, one a round."""
    wall, cpu = [], []
    for number in range(rounds):
        order = [{}, case.off] if number % 2 else [case.off, {}]
        rates = {bool(settings): rate(case, settings, store, work, items) for settings in order}
        wall.append(rates[False][0] / rates[True][0])
        cpu.append(rates[False][1] / rates[True][1])
    return wall, cpu


def rate(case: Case, settings: dict[str, str], store: Path, work: Path, items: int) -> tuple[float, float]:
    """Items a second, and per CPU second, of a service with these settings."""
    with serving(store, work, settings) as service:
        requests = _requests(case, service.url, items)
        uvloop.run(closed_loop(service.url, requests[:8], concurrency=8, total=8))
        before = cpu_seconds(service.pid)
        outcome = uvloop.run(closed_loop(service.url, requests, concurrency=32, total=len(requests)))
        spent = cpu_seconds(service.pid) - before
    done = sum(reply.items for reply in outcome.ok)
    return done / outcome.wall_s, done / spent


def _requests(case: Case, url: str, count: int, *, deadline_s: float = 300) -> list[Request]:
    if case.requests == "group":
        [prompt] = make_texts(1, mean_tokens=560)
        answers = make_texts(count * 4, mean_tokens=15)
        items = [ScoreItem(prompt.response, item.response) for item in answers]
        groups: list[Sequence[ScoreItem]] = [items[i : i + 32] for i in range(0, len(items), 32)]
    elif case.requests == "repeated":
        groups = [[item] for item in make_texts(count // 4) for _ in range(4)]
    else:
        groups = [[item] for item in make_texts(count)]
    return [score_request(url, group, model=selector(case.precision), deadline_s=deadline_s) for group in groups]


def overload(store: Path, work: Path, rounds: int) -> list[str]:
    """Twice the capacity with a deadline of two seconds: answers in time, with and without refusing late requests."""
    case = Case("refuse late requests", {"LIMITS__REFUSE_LATE": "false"}, "mixed", "int8")
    shares: dict[str, list[float]] = {"on": [], "off": []}
    for number in tqdm(range(rounds), desc="overload"):
        for name, settings in (("on", {}), ("off", case.off))[:: 1 if number % 2 else -1]:
            with serving(store, work, {"BATCHING__DEDUPE": "false", **settings}) as service:
                full = uvloop.run(
                    closed_loop(service.url, _requests(case, service.url, 128), concurrency=32, total=128)
                )
                rushed = _requests(case, service.url, 256, deadline_s=_DEADLINE_S)
                loop = open_loop(service.url, rushed, per_s=2 * full.items_per_s, seconds=_OVERLOAD_S)
                outcome = uvloop.run(loop)
            good = sum(reply.seconds <= _DEADLINE_S for reply in outcome.ok)
            shares[name].append(good / _OVERLOAD_S / full.items_per_s)
    head = "answers in time, those after the last arrival included, as a share of the capacity"
    lines = [f"| late requests refused at once | {head} |", "|---|---|"]
    return [*lines, *(f"| {name} | {spread(found, 2)} |" for name, found in shares.items())]


@dataclass(eq=False, slots=True)
class _Item:
    tokens: int
    deadline: float
    abandoned: bool = False


def planning(queued: int = 4096) -> list[str]:
    """Time to plan and take all of a long queue, against the predicted time of the work itself."""
    lines = [
        "| engine | items queued | planning all of them, ms | predicted work, ms | share |",
        "|---|---|---|---|---|",
    ]
    for name, launch_s, token_s, largest in (
        ("as a CPU: batches of one", 0.0, 7.5e-5, 64),
        ("as a GPU", 2e-3, 1e-6, 64),
    ):
        grid = [(b, n) for b in (1, 2, 4, 8, 16, 32, 64) for n in (16, 64, 128, 256, 512)]
        cells = [Cell(b, n, launch_s + token_s * b * n) for b, n in grid]
        policy = Policy(BatchLimits(largest, 32768), CostModel(cells, max_items=largest, max_tokens=512))
        spent, work = [], 0.0
        for _ in range(3):
            spent_s, work = _drain(policy, queued)
            spent.append(spent_s)
        share = 100 * statistics.median(spent) / work
        middle = 1e3 * statistics.median(spent)
        lines.append(f"| {name} | {queued} | {middle:.1f} | {1e3 * work:.0f} | {share:.2f}% |")
    return lines


def _drain(policy: Policy, queued: int) -> tuple[float, float]:
    """(seconds of planning, seconds of predicted work)."""
    lengths = random.Random(0)
    queue: PendingQueue[_Item] = PendingQueue(policy)
    for _ in range(queued):
        queue.add(_Item(max(8, min(512, round(lengths.lognormvariate(5.1, 0.6)))), 1e9), 0.0)
    work, began = 0.0, time.perf_counter()
    while len(queue):
        run = queue.take(0.0).run
        work += policy.cost.seconds(len(run), max(item.tokens for item in run))
    return time.perf_counter() - began, work


if __name__ == "__main__":
    main()
