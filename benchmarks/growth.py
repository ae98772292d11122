"""`python -m benchmarks.growth`: how throughput and latency grow with load, queue, text, group and resident versions.

Each curve is measured on a real `plurality serve` process with the int8 version. Writes docs/results/cost-growth.md
and one plot a curve; says where each bends.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import uvloop
from tqdm import tqdm

from benchmarks.load import Outcome, Reply, Request, closed_loop, open_loop
from benchmarks.processes import Service, resident_megabytes, serving
from benchmarks.report import machine, spread
from benchmarks.workload import MODEL, Workload, add_options, make_texts, make_workload, score_request, selector
from model_export.publish import write_version
from service.bundle.pointer_writer import set_aliases, writer
from service.bundle.store import read_verified, version_directory
from service.domain import ScoreItem

LOADS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0)
CLIENTS = (1, 2, 4, 8, 32, 128, 512)
LENGTHS = (16, 32, 64, 128, 256, 500)
GROUPS = (1, 2, 4, 8, 32, 128, 256)
RESIDENT = (1, 2, 4, 8)
DEADLINE_S = 2.0
_PATIENT_S = 300.0


@dataclass(frozen=True, slots=True)
class Point:
    """One measured place on a curve."""

    x: float
    items_per_s: list[float]
    p50_ms: list[float]
    p99_ms: list[float]
    note: str = ""


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=("load", "queue", "text", "group", "versions"))
    parser.add_argument("--seconds", type=float, default=12, help="of each offered load")
    add_options(parser)
    options = parser.parse_args()
    workload = make_workload(options.work, checkpoint=options.checkpoint)
    growth = Growth(workload, options.work, options.rounds, options.seconds)
    curves = {
        "load": growth.offered_load,
        "queue": growth.queue_length,
        "text": growth.text_length,
        "group": growth.group_size,
        "versions": growth.versions,
    }
    kept = options.work / "growth"
    kept.mkdir(parents=True, exist_ok=True)
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.only or curves:
        (kept / f"{name}.md").write_text(curves[name]().write(options.output), encoding="utf-8")
    command = f"python -m benchmarks.growth --rounds {options.rounds} --seconds {options.seconds:g}"
    head = f"# How cost grows\n\nMade by `{command}`. {machine()} int8; median (least–most) of the rounds.\n"
    found = [(kept / f"{name}.md").read_text(encoding="utf-8") for name in curves if (kept / f"{name}.md").exists()]
    (options.output / "cost-growth.md").write_text("\n".join([head, *found]), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Section:
    """A curve with its words."""

    name: str
    title: str
    x_label: str
    text: str
    points: Sequence[Point]
    logarithmic: bool = True

    def write(self, folder: Path) -> str:
        """Save the plot; the Markdown."""
        figure, (rate, delay) = plt.subplots(1, 2, figsize=(10, 3.6))
        xs = [point.x for point in self.points]
        rate.plot(xs, [statistics.median(point.items_per_s) for point in self.points], "o-")
        rate.set_ylabel("items a second")
        for label, mark in (("p50", "o-"), ("p99", "^:")):
            values = [statistics.median(getattr(point, f"{label}_ms") or [0.0]) for point in self.points]
            delay.plot(xs, values, mark, label=label)
        delay.set_ylabel("ms")
        delay.set_yscale("log")
        delay.legend()
        for axes in (rate, delay):
            axes.set_xlabel(self.x_label)
            axes.set_ylim(bottom=0 if axes is rate else None)
            if self.logarithmic:
                axes.set_xscale("log", base=2)
        figure.tight_layout()
        figure.savefig(folder / f"growth-{self.name}.png", dpi=110)
        plt.close(figure)
        rows = [
            f"| {p.x:g} | {spread(p.items_per_s)} | {spread(p.p50_ms, 0)} | {spread(p.p99_ms, 0)} | {p.note} |"
            for p in self.points
        ]
        table = [f"| {self.x_label} | items a second | p50, ms | p99, ms | |", "|---|---|---|---|---|", *rows]
        return "\n".join([
            f"## {self.title}\n", f"{self.text}\n", *table, f"\n![{self.title}](growth-{self.name}.png)\n"
        ])  # fmt: skip


class Growth:
    """Measures the curves."""

    def __init__(self, workload: Workload, work: Path, rounds: int, seconds: float) -> None:
        self._workload = workload
        self._work = work
        self._rounds = rounds
        self._seconds = seconds
        self._texts = make_texts(256)

    def offered_load(self) -> Section:
        """Open loop from 0.2 to 3 times the capacity, with a deadline."""
        points: dict[float, Point] = {}
        capacities = []
        with self._serving() as service:
            requests = self._requests(service, self._texts, 1, DEADLINE_S)
            for number in tqdm(range(self._rounds), desc="offered load"):
                full = self._closed(service, self._requests(service, self._texts, 1, _PATIENT_S), 32, 256)
                capacities.append(full.items_per_s)
                for load in LOADS:
                    rate = load * capacities[-1]
                    found = uvloop.run(open_loop(service.url, requests, per_s=rate, seconds=self._seconds, seed=number))
                    point = points.setdefault(load, Point(load, [], [], [], ""))
                    points[load] = _loaded(point, found, capacities[-1], self._seconds)
        text = (
            f"Poisson arrivals of one-item requests with a deadline of {DEADLINE_S:g} s, at a multiple of the capacity "
            f"measured just before (closed loop, 32 clients: {spread(capacities)} items a second). Items a second "
            "count answers within the deadline; p50 and p99 are theirs. The bend is at 1: from there the queue is as "
            "long as deadlines allow and the rest is refused at once. More items than at 1 are answered beyond it "
            "because a short text still fits where a long one does not: under overload long texts are refused more "
            "often."
        )
        return Section("load", "Offered load", "offered / capacity", text, list(points.values()), logarithmic=False)

    def queue_length(self) -> Section:
        """Closed loop with more and more clients."""

        def measure(service: Service, clients: float) -> Outcome:
            requests = self._requests(service, self._texts, 1, _PATIENT_S)
            return self._closed(service, requests, int(clients), max(int(clients), 96))

        text = "Closed loop, one item a request: the clients are the queue's length."
        return Section("queue", "Queue length", "clients", text, self._curve("queue", CLIENTS, measure))

    def text_length(self) -> Section:
        """Texts of one length."""

        def measure(service: Service, tokens: float) -> Outcome:
            texts = [_cut(item, int(tokens)) for item in make_texts(128, mean_tokens=3000)]
            return self._closed(service, self._requests(service, texts, 1, _PATIENT_S), 8, len(texts))

        text = "Eight clients, texts of one length."
        return Section("text", "Text length", "words", text, self._curve("text", LENGTHS, measure))

    def group_size(self) -> Section:
        """Items a request."""

        def measure(service: Service, size: float) -> Outcome:
            requests = self._requests(service, self._texts, int(size), _PATIENT_S)
            return self._closed(service, requests, 1, max(1, min(len(requests), 96)))

        text = "One client, so many items a request: with one, a core is idle where workers have one thread."
        return Section("group", "Group size", "items a request", text, self._curve("group", GROUPS, measure))

    def versions(self) -> Section:
        """Resident versions, asked in turn."""
        points = []
        for count in tqdm(RESIDENT, desc="versions"):
            store = self._copies(count)
            point = Point(count, [], [], [], "")
            for _ in range(self._rounds):
                with serving(store, self._work, {"BATCHING__DEDUPE": "false"}) as service:
                    requests = [
                        score_request(service.url, [item], model=f"copy{i % count}@stable")
                        for i, item in enumerate(self._texts)
                    ]
                    self._closed(service, requests[:16], 8, 16)
                    found = self._closed(service, requests, 32, 192)
                    note = f"{resident_megabytes(service.pid):.0f} MB, ready after {service.start_seconds:.1f} s"
                    point = _add(point, found.ok, found.items_per_s, note)
            points.append(point)
        text = (
            "The same int8 version under several names, asked in turn by 32 clients. Each has its own session and "
            "lanes: memory grows by the model, the cores are shared."
        )
        return Section("versions", "Resident versions", "versions", text, points)

    def _curve(self, name: str, xs: Sequence[float], measure: Callable[[Service, float], Outcome]) -> list[Point]:
        points = {x: Point(x, [], [], [], "") for x in xs}
        with self._serving() as service:
            for _ in tqdm(range(self._rounds), desc=name):
                for x in xs:
                    found = measure(service, x)
                    points[x] = _add(points[x], found.ok, found.items_per_s, "")
        return list(points.values())

    def _serving(self) -> AbstractContextManager[Service]:
        return serving(self._workload.store, self._work, {"BATCHING__DEDUPE": "false"})

    def _closed(self, service: Service, requests: Sequence[Request], clients: int, total: int) -> Outcome:
        return uvloop.run(closed_loop(service.url, requests, concurrency=clients, total=total))

    def _requests(self, service: Service, texts: Sequence[ScoreItem], size: int, deadline_s: float) -> list[Request]:
        groups = [texts[start : start + size] for start in range(0, len(texts), size)]
        return [score_request(service.url, group, model=selector("int8"), deadline_s=deadline_s) for group in groups]

    def _copies(self, count: int) -> Path:
        """A store that holds the int8 version under `count` names."""
        store = self._work / f"copies-{count}"
        if not store.exists():
            source = version_directory(self._workload.store, MODEL, self._workload.digests["int8"])
            files = read_verified(source)
            for number in range(count):
                name = f"copy{number}"
                with writer(store, name) as directory:
                    digest = write_version(
                        directory, files.manifest.model_copy(update={"model": name}), dict(files.contents)
                    )
                    set_aliases(directory, {"stable": digest})
        return store


def _loaded(point: Point, found: Outcome, capacity: float, seconds: float) -> Point:
    """Add a round of offered load: goodput against capacity, and how the rest was refused."""
    good = [reply for reply in found.ok if reply.seconds <= DEADLINE_S]
    # What is answered after the last arrival came out of the queue's store, not out of the rate.
    rate = sum(reply.done <= found.started + seconds for reply in good) / seconds
    late = len(found.ok) - len(good)
    refused = sorted(reply.seconds for reply in found.replies if reply.status == 503)
    other = len(found.replies) - len(found.ok) - len(refused) + found.broken
    note = f"goodput {rate / capacity:.2f}"
    if refused:
        p99 = 1e3 * refused[min(len(refused) - 1, int(0.99 * len(refused)))]
        note += f", {100 * len(refused) / len(found.replies):.0f}% refused with p99 {p99:.0f} ms"
    note += f", {late} late, {other} other"
    return _add(point, good, rate, f"{point.note}; {note}" if point.note else note)


def _add(point: Point, replies: Sequence[Reply], rate: float, note: str) -> Point:
    cuts = statistics.quantiles((r.seconds for r in replies), n=100, method="inclusive") if len(replies) > 1 else []
    single = [1e3 * replies[0].seconds] if len(replies) == 1 else []
    return Point(
        point.x,
        [*point.items_per_s, rate],
        [*point.p50_ms, *([1e3 * cuts[49]] if cuts else single)],
        [*point.p99_ms, *([1e3 * cuts[98]] if cuts else single)],
        note,
    )


def _cut(item: ScoreItem, words: int) -> ScoreItem:
    response = item.response.split()
    return ScoreItem("", " ".join(response[:words]))


if __name__ == "__main__":
    main()
