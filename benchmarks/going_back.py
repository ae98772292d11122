"""`python -m benchmarks.going_back`: an alias moved and rolled back over HTTP while requests come at half the capacity.

Takes the time from each admin call to its answer, and counts every answer that the load got meanwhile.
Writes docs/results/going-back.md.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from benchmarks.processes import serving
from benchmarks.publishing import Load, Seen
from benchmarks.report import machine
from service.bundle.pointer_writer import set_aliases, writer
from tests.stamped import publish_stamped

_KEY = "an-admin-key-of-the-benchmark"
_MODEL = "stamped"
_PAUSE_S = 0.5


@dataclass(slots=True)
class Moves:
    """Seconds of each call, and until a request made after it was answered by the version that it named."""

    calls: dict[str, list[float]] = field(default_factory=lambda: {"alias": [], "rollback": []})
    wrong: int = 0
    """Requests made after a call was answered, that another version answered."""


async def move(session: httpx.AsyncClient, url: str, digests: tuple[str, str], count: int) -> Moves:
    """Move `stable` to the second version and back again, `count` times."""
    moves = Moves()
    for _ in range(count):
        for kind, expected in (("alias", digests[1]), ("rollback", digests[0])):
            began = time.perf_counter()
            if kind == "alias":
                place = f"{url}/rm/v1/models/{_MODEL}/aliases/stable"
                reply = await session.put(place, json={"version": expected}, headers=_KEYED)
            else:
                place = f"{url}/rm/v1/models/{_MODEL}/rollback"
                reply = await session.post(place, json={"alias": "stable"}, headers=_KEYED)
            moves.calls[kind].append(time.perf_counter() - began)
            reply.raise_for_status()
            probe = await session.post(f"{url}/rm/v1/score", json={"items": [{"prompt": "w1", "response": "w2"}]})
            moves.wrong += probe.json()["model"]["version"] != expected
            await asyncio.sleep(_PAUSE_S)
    return moves


_KEYED = {"authorization": f"Bearer {_KEY}"}


async def measure(url: str, digests: tuple[str, str], count: int) -> tuple[float, Seen, Moves]:
    """Capacity, what the load saw, and the moves."""
    load = Load(url)
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=64)) as session:
        await load.capacity(session, 3)
        capacity = await load.capacity(session, 10)
        moving = asyncio.ensure_future(move(session, url, digests, count))
        seen = await load.open_loop(session, capacity / 2, moving)  # type: ignore[arg-type]
        return capacity, seen, moving.result()


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=20, help="there and back again, so often")
    parser.add_argument("--work", type=Path, default=Path(".bench/going-back"))
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    store = options.work / f"store-{time.time_ns()}"
    digests = (publish_stamped(store, 0), publish_stamped(store, 1))
    with writer(store, _MODEL) as directory:
        set_aliases(directory, {"first": digests[0], "second": digests[1], "stable": digests[0]})
    (options.work / "admin.key").write_text(_KEY + "\n", encoding="utf-8")
    settings = {"REPOSITORY__WRITER": "true", "KEYS__ADMIN_FILE": str((options.work / "admin.key").absolute())}
    with serving(store, options.work, settings) as service:
        capacity, seen, moves = asyncio.run(measure(service.url, digests, options.moves))
    text = report(options.moves, capacity, seen, moves)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "going-back.md").write_text(text, encoding="utf-8")
    print(text)


def report(count: int, capacity: float, seen: Seen, moves: Moves) -> str:
    """The page."""
    answers = ", ".join(f"{number} x {status}" for status, number in sorted(seen.statuses.items()))
    rows = "".join(
        f"| {kind} | {len(times)} | {1e3 * np.median(times):.0f} | {1e3 * max(times):.0f} |\n"
        for kind, times in moves.calls.items()
    )
    return (
        f"# Going back under load\n\nMade by `python -m benchmarks.going_back --moves {count}`. {machine()}\n\n"
        f"Requests of 256 items, open loop at half of the capacity ({capacity:.1f} requests a second), client and "
        "service on the same cores; `stable` is moved and rolled back over HTTP meanwhile. Time from the call to its "
        "answer, which comes when the change is written and in force:\n\n"
        f"| call | times | median, ms | longest, ms |\n|---|---|---|---|\n{rows}\n"
        f"Answers that the load got: {answers}; {seen.mixed} of two versions, or of another than they said. Requests "
        f"made after an answer that the former version answered: {moves.wrong} of {2 * count}.\n"
    )


if __name__ == "__main__":
    main()
