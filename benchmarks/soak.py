"""`python -m benchmarks.soak`: memory of the service over ten minutes of mixed load, and its slope.

Open loop at 0.6 of the capacity, all kinds of requests: single items, groups, refused ones. Resident memory is read
every few seconds; the slope of the part after the warm-up comes with a 95% interval by a moving-block bootstrap of the
residuals, for neighboring samples are alike. Writes docs/results/soak.md and a plot.
"""

import argparse
import random
import threading
import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.load import Request, closed_loop, open_loop, prepare
from benchmarks.processes import Service, resident_megabytes, serving
from benchmarks.report import machine
from benchmarks.workload import add_options, make_texts, make_workload, score_request, selector

_PERIOD_S = 2.0
_BLOCK = 15
_DRAWS = 2000


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=2, help="minutes that the slope leaves out")
    add_options(parser)
    options = parser.parse_args()
    store = make_workload(options.work, checkpoint=options.checkpoint).store
    with serving(store, options.work) as service:
        requests = mixed(service)
        good = [request for request in requests if request.items]
        capacity = uvloop.run(closed_loop(service.url, good[:64], concurrency=16, total=64))
        per_s = 0.6 * len(capacity.replies) / capacity.wall_s
        samples: list[tuple[float, float]] = []
        stop = threading.Event()
        watcher = threading.Thread(target=watch, args=(service.pid, samples, stop))
        watcher.start()
        outcome = uvloop.run(open_loop(service.url, requests, per_s=per_s, seconds=60 * options.minutes))
        stop.set()
        watcher.join()
    at, megabytes = (np.array(values) for values in zip(*samples, strict=True))
    late = at >= 60 * options.warm_up
    slope, low, high = slope_interval(at[late], megabytes[late])
    counts: dict[int, int] = {}
    for reply in outcome.replies:
        counts[reply.status] = counts.get(reply.status, 0) + 1
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(counts.items()))
    text = (
        f"# Soak\n\nMade by `python -m benchmarks.soak --minutes {options.minutes:g} --warm-up {options.warm_up:g}`. "
        f"{machine()}\n\n"
        f"{len(outcome.replies)} requests at {per_s:.1f} a second (0.6 of capacity): {answers}; {outcome.broken} "
        f"connections broke. Resident memory after {options.warm_up:g} minutes: {megabytes[late][0]:.0f} MB, at the "
        f"end {megabytes[-1]:.0f} MB. Slope {slope:+.3f} MB a minute, 95% interval {low:+.3f} to {high:+.3f}.\n\n"
        "![memory](soak.png)\n"
    )
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "soak.md").write_text(text, encoding="utf-8")
    plot(at, megabytes, options.output / "soak.png")
    print(text)


def mixed(service: Service) -> list[Request]:
    """Single items, groups, pairs of both versions, and bodies that are refused."""
    source = random.Random(5)
    texts = make_texts(600, mean_tokens=120)
    requests = []
    while texts:
        size = min(len(texts), source.choice((1, 1, 1, 2, 8, 16)))
        group, texts = texts[:size], texts[size:]
        model = selector(source.choice(("fp32", "int8")))
        requests.append(score_request(service.url, group, model=model, deadline_s=30))
        if source.random() < 0.1:
            requests.append(prepare(f"{service.url}/rm/v1/score", b'{"items": [{"prompt": 1}]}', 0))
    return requests


def watch(pid: int, samples: list[tuple[float, float]], stop: threading.Event) -> None:
    """(seconds, MB) until told to stop."""
    began = time.perf_counter()
    while not stop.wait(_PERIOD_S):
        samples.append((time.perf_counter() - began, resident_megabytes(pid)))


def slope_interval(seconds: NDArray[np.float64], megabytes: NDArray[np.float64]) -> tuple[float, float, float]:
    """Least-squares slope in MB a minute, with a 95% moving-block bootstrap interval of the residuals."""
    minutes = seconds / 60
    slope, offset = np.polyfit(minutes, megabytes, 1)
    fitted = slope * minutes + offset
    residuals = megabytes - fitted
    generator = np.random.default_rng(0)
    blocks = -(-len(residuals) // _BLOCK)
    slopes = []
    for _ in range(_DRAWS):
        starts = generator.integers(0, len(residuals) - _BLOCK + 1, blocks)
        drawn = np.concatenate([residuals[start : start + _BLOCK] for start in starts])[: len(residuals)]
        slopes.append(np.polyfit(minutes, fitted + drawn, 1)[0])
    low, high = np.quantile(slopes, (0.025, 0.975))
    return float(slope), float(low), float(high)


def plot(seconds: NDArray[np.float64], megabytes: NDArray[np.float64], path: Path) -> None:
    """Memory over time."""
    figure, axes = plt.subplots(figsize=(8, 3.5))
    axes.plot(seconds / 60, megabytes)
    axes.set_xlabel("minutes")
    axes.set_ylabel("resident, MB")
    axes.set_ylim(bottom=0)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
