"""`python -m benchmarks.serving` (or `make bench`): the service, the offline limit and the peers on the same texts.

One model, trained small so that its int8 passes the gate, served by all. Every round measures every system once, in
a shuffled order, so that a noisy machine is noisy for all; ratios are taken within a round. The service and the
offline limit do a fixed amount of work; peers are given a fixed time, and killed afterwards: a queue of theirs would
run on.

Writes the raw figures to .bench/serving.json, and tables and plots from them to docs/results/serving.md.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from tqdm import tqdm

from benchmarks.environments import EnvironmentFailed, environment, installed_megabytes
from benchmarks.load import Outcome, Request, closed_loop, open_loop, prepare
from benchmarks.offline import offline, opened, planned_padding
from benchmarks.peers.peer import Peer
from benchmarks.peers.process import PeerFailed, Running, running
from benchmarks.peers.registry import PEERS
from benchmarks.processes import Service, cpu_seconds, resident_megabytes, serving
from benchmarks.report import write_report
from benchmarks.workload import (
    MODEL,
    Workload,
    add_options,
    as_pairs,
    make_texts,
    make_workload,
    read_texts,
    score_request,
    selector,
)
from service.bundle.open import LoadedModel, score_now
from service.domain import Encoding, ScoreItem

CELLS = ((1, 1), (8, 1), (32, 1), (128, 1), (1, 32), (32, 32))
"""(concurrency, items a request) of the service."""
PEER_CELLS = ((1, 1), (32, 1), (32, 32))
OPEN_CELL = (0, 1)
_NO_DEDUPE = {"BATCHING__DEDUPE": "false"}
"""Texts repeat within a round: sharing their rows would be cheating."""


@dataclass(frozen=True, slots=True)
class Record:
    """One measured cell."""

    round: int
    system: str
    precision: str
    loop: str
    concurrency: int
    per_request: int
    items: int
    wall_s: float
    cpu_s: float
    """Of the server, its children included; for the offline limit of the engine and tokenizer."""
    driver_cpu_s: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is measured once of a system."""

    system: str
    start_s: float
    resident_mb: float
    installed_mb: float
    note: str


def main() -> None:
    """Parse, prepare, measure, write."""
    options = _parser().parse_args()
    threads = options.threads
    workload = make_workload(options.work, checkpoint=options.checkpoint)
    texts = read_texts(options.texts, options.items) if options.texts else make_texts(options.items)
    bench = Bench(workload, texts, options.work, threads, options.seconds, options.open_rate)
    peers = [peer for peer in PEERS if not options.peers or peer.name in options.peers]
    pythons = bench.build(peers)
    for number in tqdm(range(options.rounds), desc="rounds", unit="round"):
        bench.round(number, pythons if number < options.peer_rounds else {})
    result = {
        "command": f"python -m benchmarks.serving --rounds {options.rounds} --items {options.items}",
        "records": [asdict(record) for record in bench.records],
        "facts": [asdict(fact) for fact in bench.facts.values()],
        "not_run": bench.not_run,
        "lengths": bench.lengths,
        "lanes": bench.lanes,
        "padding": bench.padding,
    }
    (options.work / "serving.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    write_report(result, options.output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of the service and the offline limit")
    parser.add_argument("--peer-rounds", type=int, default=3, help="rounds in which the peers take part")
    parser.add_argument("--peers", nargs="*", help="names; by default all of them")
    parser.add_argument("--items", type=int, default=256, help="texts of a cell")
    parser.add_argument("--seconds", type=float, default=10, help="time of a peer's cell; four times with groups")
    parser.add_argument("--open-rate", type=float, default=6, help="requests a second of the open loop, for all alike")
    parser.add_argument("--threads", type=int, default=2, help="of each peer's engine; the service measures its own")
    parser.add_argument("--texts", type=Path, help="JSONL of {prompt, response}; by default generated")
    add_options(parser)
    return parser


class Bench:
    """Runs rounds and keeps what they gave."""

    def __init__(
        self, workload: Workload, texts: Sequence[ScoreItem], work: Path, threads: int, seconds: float, open_rate: float
    ) -> None:
        self._workload = workload
        self._texts = texts
        self._work = work
        self._threads = threads
        self._seconds = seconds
        self._open_rate = open_rate
        self.records: list[Record] = []
        self.facts: dict[str, Facts] = {}
        self.not_run: dict[str, str] = {}
        self.lengths: list[int] = []
        self.lanes: dict[str, str] = {}
        self.padding: dict[str, float] = {}

    def build(self, peers: Sequence[Peer]) -> dict[str, tuple[Peer, Path]]:
        """Each peer's python; a peer that cannot be built is named, not hidden."""
        built: dict[str, tuple[Peer, Path]] = {}
        for peer in tqdm(peers, desc="environments", unit="peer"):
            try:
                built[peer.name] = (peer, environment(peer.environment, self._work / "environments"))
            except EnvironmentFailed as error:
                self.not_run[peer.name] = str(error)
        return built

    def round(self, number: int, peers: dict[str, tuple[Peer, Path]]) -> None:
        """Run every system once, in an order that differs by round."""
        steps = [partial(step, number, p) for p in self._workload.digests for step in (self._offline, self._service)]
        steps += [partial(self._peer, number, peer, python) for peer, python in peers.values()]
        random.Random(number).shuffle(steps)
        for step in tqdm(steps, desc=f"round {number}", unit="system", leave=False):
            step()

    def _offline(self, number: int, precision: str) -> None:
        digest = self._workload.digests[precision]
        with opened(self._workload.store, MODEL, digest, self._work) as (tuned, policy):
            offline(tuned, policy, self._texts[:32])
            rate = offline(tuned, policy, self._texts)
            encoded = tuned.model.tokenizer.encode(self._texts)
            self.lengths = [len(entry.ids) for entry in encoded if isinstance(entry, Encoding)]
            self.padding[precision] = planned_padding(self.lengths, policy)
            self.lanes[precision] = f"{tuned.profile.workers} workers x {tuned.profile.threads} threads"
            self._direct(number, precision, tuned.model)
        self.records.append(
            Record(number, "offline limit", precision, "closed", 0, 0, rate.items, rate.wall_s, rate.cpu_s)
        )

    def _direct(self, number: int, precision: str, model: LoadedModel) -> None:
        """A direct call a text, tokenization included: what a lone request is compared with."""
        times, cpu = [], time.process_time()
        for item in self._texts[: self._lone]:
            began = time.perf_counter()
            score_now(model, [item])
            times.append(time.perf_counter() - began)
        spent = time.process_time() - cpu
        p50, p99 = percentiles(times)
        record = Record(
            number, "direct call", precision, "closed", 1, 1, len(times), sum(times), spent, p50_ms=p50, p99_ms=p99
        )
        self.records.append(record)

    @property
    def _lone(self) -> int:
        return min(64, len(self._texts))

    def _service(self, number: int, precision: str) -> None:
        with serving(self._workload.store, self._work, _NO_DEDUPE) as service:
            requests = {size: self._requests(service, precision, size) for size in (1, 32)}
            uvloop.run(closed_loop(service.url, requests[1][:32], concurrency=8, total=32))
            for concurrency, size in CELLS:
                # Enough requests to keep every client busy: a round of 32 x 32 is 1,024 texts, some of them twice.
                total = self._lone if (concurrency, size) == (1, 1) else max(concurrency, len(requests[size]))
                cell = (number, "service", precision, "closed", concurrency, size)
                loop = closed_loop(service.url, requests[size], concurrency=concurrency, total=total)
                self._keep(cell, service.pid, loop)
            cell = (number, "service", precision, "open", 0, 1)
            self._keep(cell, service.pid, self._open(requests[1], service.url))
            name = f"service {precision}"
            if name not in self.facts:
                megabytes = resident_megabytes(service.pid)
                self.facts[name] = Facts(name, service.start_seconds, megabytes, 0.0, "both versions resident")

    def _requests(self, service: Service, precision: str, size: int) -> list[Request]:
        groups = [self._texts[start : start + size] for start in range(0, len(self._texts), size)]
        return [score_request(service.url, group, model=selector(precision)) for group in groups]

    def _open(self, requests: Sequence[Request], url: str) -> Coroutine[Any, Any, Outcome]:
        return open_loop(url, requests, per_s=self._open_rate, seconds=self._seconds)

    def _peer(self, number: int, peer: Peer, python: Path) -> None:
        for concurrency, size in (*PEER_CELLS, OPEN_CELL):
            try:
                with running(peer, python, self._workload.files, self._threads) as process:
                    self._peer_cell(number, peer, process, concurrency, size)
                    if peer.name not in self.facts:
                        self.facts[peer.name] = self._facts(peer, process, python)
            except PeerFailed as error:
                self.not_run[peer.name] = str(error)
                return

    def _peer_cell(self, number: int, peer: Peer, process: Running, concurrency: int, size: int) -> None:
        warm = self._peer_requests(peer, process.url, 1)[:8]
        uvloop.run(closed_loop(process.url, warm, concurrency=1, total=8))
        requests = self._peer_requests(peer, process.url, size)
        if (concurrency, size) == OPEN_CELL:
            name, loop = "open", self._open(requests, process.url)
        else:
            name = "closed"
            loop = closed_loop(process.url, requests, concurrency=concurrency, seconds=self._time(size))
        cell = (number, peer.name, "int8" if peer.int8 else "fp32", name, concurrency, size)
        self._keep(cell, process.pid, loop)

    def _time(self, size: int) -> float:
        """Groups take longer to be answered."""
        return self._seconds * (4 if size > 1 else 1)

    def _facts(self, peer: Peer, process: Running, python: Path) -> Facts:
        memory, disk = resident_megabytes(process.pid), installed_megabytes(python)
        return Facts(peer.name, process.start_seconds, memory, disk, peer.note)

    def _peer_requests(self, peer: Peer, url: str, size: int) -> list[Request]:
        pairs = as_pairs(self._texts)
        groups = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        return [prepare(f"{url}{peer.path}", peer.body(group), len(group)) for group in groups]

    def _keep(self, cell: tuple[int, str, str, str, int, int], pid: int, loop: Coroutine[Any, Any, Outcome]) -> None:
        before = cpu_seconds(pid)
        outcome = uvloop.run(loop)
        spent = cpu_seconds(pid) - before
        p50, p99 = percentiles([reply.seconds for reply in outcome.ok])
        self.records.append(
            Record(
                *cell,
                items=sum(reply.items for reply in outcome.ok),
                wall_s=outcome.wall_s,
                cpu_s=spent,
                driver_cpu_s=outcome.driver_cpu_s,
                p50_ms=p50,
                p99_ms=p99,
                failed=len(outcome.replies) - len(outcome.ok) + outcome.broken,
            )
        )


def percentiles(seconds: Sequence[float]) -> tuple[float | None, float | None]:
    """p50 and p99 in milliseconds; None where fewer than two were measured."""
    if len(seconds) < 2:
        return None, None
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return 1e3 * cuts[49], 1e3 * cuts[98]


if __name__ == "__main__":
    main()
