"""LitServe with its dynamic batching, onnxruntime behind it."""

from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path

import litserve  # type: ignore[import-not-found]
from fastapi import Request

from benchmarks.peers.options import HOST, parse
from benchmarks.peers.pair_model import PairModel

MOST_REQUESTS = 8
WAIT_S = 0.005
MOST_IN_RUN = 8
"""LitServe counts requests. One with many texts would make a batch that is slow on a CPU, so a run has a bound too."""

Pair = tuple[str, str]


class RewardApi(litserve.LitAPI):  # type: ignore[misc]
    """One request is a list of pairs; LitServe calls `predict` with the lists of several requests."""

    def __init__(self, checkpoint: Path, onnx: Path, threads: int) -> None:
        super().__init__(max_batch_size=MOST_REQUESTS, batch_timeout=WAIT_S)
        self._files = checkpoint, onnx, threads

    def setup(self, device: str) -> None:
        """Open the model, in the worker's process."""
        self._model = PairModel(*self._files)

    def decode_request(self, request: Request) -> list[Pair]:
        """The pairs of a request. LitServe reads the annotation, and gives the parsed body in its place."""
        pairs: list[Pair] = request["pairs"]
        return pairs

    def predict(self, requests: Sequence[Sequence[Pair]]) -> list[list[float]]:
        """Rewards of each request."""
        pairs = list(chain.from_iterable(requests))
        encodings = self._model.encode(pairs)
        runs = [encodings[start : start + MOST_IN_RUN] for start in range(0, len(encodings), MOST_IN_RUN)]
        rewards = iter([reward for run in runs for reward in self._model.run(run)])
        return [list(islice(rewards, len(request))) for request in requests]

    def encode_response(self, rewards: list[float]) -> dict[str, list[float]]:
        """The reply of a request."""
        return {"rewards": rewards}


def main() -> None:
    """Serve."""
    options = parse(__doc__)
    api = RewardApi(options.checkpoint, options.onnx, options.threads)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=False)
    server.run(HOST, options.port, num_api_servers=1, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
