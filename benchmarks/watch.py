"""`python -m benchmarks.watch`: what watching the rewards costs: each item on the event loop, each period in a thread.

Writes docs/results/watch.md.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.report import machine, spread
from plurality.stats import Reference
from service.bundle.calibrate import Calibrator
from service.domain import Message, Reward, ScoreItem
from service.drift.drift_metrics import ReferenceStats, read
from service.drift.window import Window
from service.settings.groups import WatchSettings

_LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_REPEATS = 400


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    rows = [
        f"| a request of {name}, µs an item | {spread((_note_us(items) for _ in range(options.rounds)), 2)} |"
        for name, items in _REQUESTS.items()
    ]
    sizes = {f"a window of {size}": WatchSettings(size=size, min_items=64) for size in (WatchSettings().size, 65536)}
    for name, settings in sizes.items():
        copied, figures = zip(*(_period_ms(settings) for _ in range(options.rounds)), strict=True)
        rows.append(f"| {name}: copied on the event loop, ms a period | {spread(copied, 3)} |")
        rows.append(f"| {name}: all figures, in a thread, ms a period | {spread(figures, 2)} |")
    text = "\n".join([
        "# What watching the rewards costs\n",
        f"Made by `python -m benchmarks.watch --rounds {options.rounds}`. {machine()} "
        "Median (least–most) of the rounds. The aim: below 2 µs an item.\n",
        "| | |",
        "|---|---|",
        *rows,
        "",
    ])  # fmt: skip
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "watch.md").write_text(text, encoding="utf-8")


def _conversation(number: int) -> tuple[Message, ...]:
    return (Message("system", "Be brief."), Message("user", f"question {number} " * 30))


_REQUESTS = {
    "1 item": [ScoreItem("a question " * 30, "an answer " * 40)],
    "32 items": [ScoreItem(f"question {i} " * 30, "an answer " * 40) for i in range(32)],
    "a group of 8": [ScoreItem("a question " * 30, f"answer {i} " * 40) for i in range(8)],
    "32 groups of 8": [ScoreItem(f"question {i // 8} " * 30, f"answer {i} " * 40) for i in range(256)],
    "256 conversations": [ScoreItem(_conversation(i), f"answer {i} " * 40) for i in range(256)],
}


def _note_us(items: list[ScoreItem]) -> float:
    window = Window(WatchSettings(), reference_std=1.0, close=lambda: None)
    rewards = [Reward(0.1 * (place % 7), 200, 0) for place in range(len(items))]
    repeats = max(1, _REPEATS // len(items))
    seconds = statistics.median(_seconds(lambda: window.note(items, rewards), repeats) for _ in range(9))
    return 1e6 * seconds / len(items)


def _period_ms(settings: WatchSettings) -> tuple[float, float]:
    random = np.random.default_rng(0)
    window = Window(settings, reference_std=1.0, close=lambda: None)
    items = [ScoreItem(f"question {i // 8}", "word " * int(random.integers(5, 200))) for i in range(2 * settings.size)]
    for start in range(0, len(items), 256):
        part = items[start : start + 256]
        window.note(part, [Reward(float(random.normal()), len(item.response) // 5, 0) for item in part])
    reference = Reference(2000, _LEVELS, tuple(np.quantile(random.normal(size=2000), _LEVELS)))
    reference_stats = ReferenceStats(reference, 1.0, 0.0, Calibrator())
    view = window.snapshot()
    return 1e3 * _seconds(window.snapshot, 20), 1e3 * _seconds(lambda: read(view, reference_stats, settings), 3)


def _seconds(call: Callable[[], object], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats


if __name__ == "__main__":
    main()
