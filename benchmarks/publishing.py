"""`python -m benchmarks.publishing`: 40 versions published while requests of 256 items come at half the capacity.

Stamped models prove of each reward which version's weights and tokenizer made it. Reports what was answered, whether
every version was met, whether any reply was of two, and the p99 beside that of the same load without publishing.
Writes docs/results/versions.md.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.processes import serving
from benchmarks.report import machine
from service.domain import ScoreItem
from tests.stamped import WORDS, publish_stamped, stamp_of

_ITEMS = 256
_BODIES = 24
_WINDOW_S = 1.0


@dataclass(slots=True)
class Seen:
    """What a phase of load saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    stamps: set[int] = field(default_factory=set)
    mixed: int = 0
    took: list[tuple[float, float]] = field(default_factory=list)
    """(when it was due, seconds from then to its reply)."""

    def p99(self) -> float:
        """In ms."""
        return 1e3 * float(np.quantile([seconds for _, seconds in self.took], 0.99))

    def p99_near(self, moments: list[float]) -> float:
        """Of requests that were due within a second of one of the moments, in ms."""
        near = [seconds for due, seconds in self.took if any(abs(due - at) <= _WINDOW_S for at in moments)]
        return 1e3 * float(np.quantile(near, 0.99))


class Load:
    """Prepared requests and the check of their replies."""

    def __init__(self, url: str) -> None:
        source = random.Random(0)
        self._url = f"{url}/rm/v1/score"
        self._items = [
            [
                ScoreItem(" ".join(source.choices(WORDS, k=10)), " ".join(source.choices(WORDS, k=10)))
                for _ in range(_ITEMS)
            ]
            for _ in range(_BODIES)
        ]
        self._bodies = [
            json.dumps({"items": [{"prompt": i.prompt, "response": i.response} for i in items]}).encode()
            for items in self._items
        ]

    async def one(self, session: httpx.AsyncClient, number: int, due: float, seen: Seen) -> None:
        """Ask, take the time from when it was due, check."""
        which = number % _BODIES
        reply = await session.post(self._url, content=self._bodies[which], headers={"content-type": "application/json"})
        seen.took.append((due, time.time() - due))
        seen.statuses[reply.status_code] += 1
        if reply.status_code == 200:
            body = reply.json()
            entries = zip(self._items[which], body["items"], strict=True)
            stamps = {stamp_of(item, entry["reward"]) for item, entry in entries}
            seen.mixed += stamps != {body["model"]["sequence"] - 1}
            seen.stamps |= {stamp for stamp in stamps if stamp is not None}

    async def capacity(self, session: httpx.AsyncClient, seconds: float) -> float:
        """Requests a second of four clients that ask again at once."""
        seen, stop = Seen(), time.time() + seconds

        async def client(offset: int) -> None:
            number = offset
            while time.time() < stop:
                await self.one(session, number, time.time(), seen)
                number += 4

        await asyncio.gather(*(client(offset) for offset in range(4)))
        return len(seen.took) / seconds

    async def open_loop(self, session: httpx.AsyncClient, per_s: float, until: "asyncio.Future[None]") -> Seen:
        """Poisson arrivals until the future is done."""
        seen, times, due, number = Seen(), random.Random(1), time.time(), 0
        async with asyncio.TaskGroup() as group:
            while not until.done():
                due += times.expovariate(per_s)
                await asyncio.sleep(max(0.0, due - time.time()))
                group.create_task(self.one(session, number, due, seen))
                number += 1
        return seen


def publish(store: Path, url: str, count: int) -> None:
    """Publish versions 1..count, each when the one before is served; a line with its times for each."""
    for k in range(1, count + 1):
        began = time.time()
        digest = publish_stamped(store, k)
        written = time.time()
        while digest not in (e["model"]["version"] for e in _versions(url) if e["aliases"]):
            time.sleep(0.05)
        sys.stdout.write(json.dumps({"k": k, "began": began, "written": written, "served": time.time()}) + "\n")
        sys.stdout.flush()


def _versions(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{url}/rm/v1/models").json()["versions"]
    return found


async def measure(
    store: Path, url: str, count: int, baseline_s: float
) -> tuple[float, Seen, Seen, list[dict[str, float]]]:
    """Capacity, the load alone, the load with publishing, the publisher's lines."""
    load = Load(url)
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=64)) as session:
        await load.capacity(session, 3)
        capacity = await load.capacity(session, 10)
        alone = await load.open_loop(session, capacity / 2, asyncio.ensure_future(asyncio.sleep(baseline_s)))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.publishing",
            "--publish",
            str(store),
            url,
            str(count),
            stdout=subprocess.PIPE,
        )
        done = asyncio.ensure_future(process.communicate())
        busy = await load.open_loop(session, capacity / 2, done)  # type: ignore[arg-type]
        lines = [json.loads(line) for line in done.result()[0].splitlines()]
    return capacity, alone, busy, lines


def steps(ops: str) -> dict[str, float]:
    """Mean seconds of each step of a candidate."""
    sums: defaultdict[str, float] = defaultdict(float)
    counts: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(httpx.get(f"{ops}/metrics").text):
        for sample in family.samples:
            if sample.name == "rm_model_load_seconds_sum":
                sums[sample.labels["phase"]] += sample.value
            if sample.name == "rm_model_load_seconds_count":
                counts[sample.labels["phase"]] += sample.value
    return {phase: sums[phase] / counts[phase] for phase in sums}


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--publishes", type=int, default=40)
    parser.add_argument("--baseline", type=float, default=30, help="seconds of load without publishing")
    parser.add_argument("--work", type=Path, default=Path(".bench/publishing"))
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--publish", nargs=3, metavar=("STORE", "URL", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.publish:
        publish(Path(options.publish[0]), options.publish[1], int(options.publish[2]))
        return
    store = options.work / f"store-{time.time_ns()}"
    publish_stamped(store, 0)
    with serving(store, options.work) as service:
        capacity, alone, busy, lines = asyncio.run(measure(store, service.url, options.publishes, options.baseline))
        means = steps(service.ops)
    text = report(options, capacity, alone, busy, lines, means)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "versions.md").write_text(text, encoding="utf-8")
    print(text)


def report(
    options: argparse.Namespace,
    capacity: float,
    alone: Seen,
    busy: Seen,
    lines: list[dict[str, float]],
    means: dict[str, float],
) -> str:
    """The page."""
    duration = lines[-1]["served"] - lines[0]["began"]
    waits = sorted(line["served"] - line["written"] for line in lines)
    near = busy.p99_near([line["served"] for line in lines])
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(busy.statuses.items()))
    phases = ", ".join(f"{phase} {1e3 * seconds:.0f}" for phase, seconds in means.items())
    median_alone, median = (1e3 * np.median([seconds for _, seconds in seen.took]) for seen in (alone, busy))
    met = len(busy.stamps & set(range(1, len(lines) + 1)))
    return (
        f"# Versions under load\n\nMade by `python -m benchmarks.publishing --publishes {options.publishes} --baseline "
        f"{options.baseline:g}`. {machine()}\n\n"
        f"Stamped models; requests of {_ITEMS} items, open loop at half of the capacity ({capacity:.1f} requests a "
        "second); client, publisher and service on the same cores. A version is published when the one before is "
        "served.\n\n"
        "| | without publishing | while publishing |\n|---|---|---|\n"
        f"| requests | {len(alone.took)} | {len(busy.took)} |\n"
        f"| p50, ms | {median_alone:.0f} | {median:.0f} |\n"
        f"| p99, ms | {alone.p99():.0f} | {busy.p99():.0f} ({busy.p99() / alone.p99():.1f} x) |\n"
        f"| p99 within 1 s of a swap, ms | | {near:.0f} ({near / alone.p99():.1f} x) |\n\n"
        f"{len(lines)} versions in {duration:.1f} s. Answers: {answers}. Versions met: {met} of {len(lines)}. Replies "
        f"of two versions, or of another than they said: {busy.mixed}. From the written pointer to being served: "
        f"median {np.median(waits):.2f} s, at most {waits[-1]:.2f} s. Mean ms of each step: {phases}.\n"
    )


if __name__ == "__main__":
    main()
