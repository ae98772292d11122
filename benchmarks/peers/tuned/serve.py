"""What a careful engineer writes in a day: FastAPI, one onnxruntime session, all requests' texts batched by length."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response

from benchmarks.peers.options import HOST, Options, parse
from benchmarks.peers.pair_model import PairModel

MOST_IN_BATCH = 8
MOST_SORTED = 256
"""Texts that are sorted together: more waste less padding, fewer let a late text wait less."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A tokenized text and the future of its reward."""

    encoding: Any
    reward: "asyncio.Future[float]"


class Batcher:
    """Takes what waits, sorts it by length, runs it in batches; new texts gather meanwhile."""

    def __init__(self, model: PairModel) -> None:
        self._model = model
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        # One run at a time: a run has all threads of the session.
        self._engine = ThreadPoolExecutor(1)

    async def rewards(self, pairs: Sequence[Sequence[str]]) -> list[float]:
        """Rewards of one request's pairs."""
        encodings = await asyncio.to_thread(self._model.encode, pairs)
        loop = asyncio.get_running_loop()
        waiting = [Waiting(encoding, loop.create_future()) for encoding in encodings]
        for entry in waiting:
            self._queue.put_nowait(entry)
        return [await entry.reward for entry in waiting]

    async def work(self) -> None:
        """Run until cancelled."""
        while True:
            texts = [await self._queue.get()]
            while len(texts) < MOST_SORTED and not self._queue.empty():
                texts.append(self._queue.get_nowait())
            texts.sort(key=lambda entry: len(entry.encoding))
            for start in range(0, len(texts), MOST_IN_BATCH):
                await self._run(texts[start : start + MOST_IN_BATCH])

    async def _run(self, batch: Sequence[Waiting]) -> None:
        encodings = [entry.encoding for entry in batch]
        loop = asyncio.get_running_loop()
        try:
            rewards = await loop.run_in_executor(self._engine, self._model.run, encodings)
        except Exception as error:  # noqa: BLE001 - fails this batch's requests, not the worker
            for entry in batch:
                if not entry.reward.done():
                    entry.reward.set_exception(error)
            return
        for entry, reward in zip(batch, rewards, strict=True):
            if not entry.reward.done():  # its client may have gone
                entry.reward.set_result(reward)


def main() -> None:
    """Open the model, serve."""
    options = parse(__doc__)
    uvicorn.run(application(options), host=HOST, port=options.port, log_level="warning", access_log=False)


def application(options: Options) -> FastAPI:
    """The app around one batcher."""
    batcher = Batcher(PairModel(options.checkpoint, options.onnx, options.threads))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(batcher.work())
        yield
        worker.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/score")
    async def score(request: Request) -> Response:
        rewards = await batcher.rewards(msgspec.json.decode(await request.body())["pairs"])
        return Response(msgspec.json.encode({"rewards": rewards}), media_type="application/json")

    return app


if __name__ == "__main__":
    main()
