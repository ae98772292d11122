"""An OpenAI-compatible chat server of the tiny model: a process of its own, on loopback. Faults come when asked for.

    python -m tests.plurality.training.judge.server MODEL_DIRECTORY        prints its port

/v1/chat/completions is the API. Beside it, for tests: /log (what was asked), /faults (replies to give instead),
/hold (answer so many requests and keep the next ones waiting), /held (wait until so many wait), /release, /reset.
"""

import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request, Response

from tests.plurality.training.judge.lm import JudgeModel

_PATIENCE_S = 120


class Served:
    """The model behind one lock, and what the tests asked for."""

    def __init__(self, directory: Path) -> None:
        self.model = JudgeModel(directory)
        self.lock = threading.Lock()
        self.changed = threading.Condition()
        self.reset()

    def reset(self) -> None:
        """Forget everything; whoever is held goes on."""
        with self.changed:
            self.log: list[dict[str, Any]] = []
            self.faults: list[dict[str, Any]] = []
            self.held, self.left = 0, None
            self.changed.notify_all()

    left: int | None = None

    def admit(self, body: dict[str, Any], authorization: str | None) -> dict[str, Any] | None:
        """Note a request and let it through when it may; the fault that it gets, if any."""
        with self.changed:
            self.log.append({"body": body, "authorization": authorization})
            if self.faults:
                return self.faults.pop(0)
            if self.left == 0:
                self.held += 1
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.left is None, _PATIENCE_S)
            elif self.left is not None:
                self.left -= 1
            return None

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """A chat completion by the model."""
        prefilled = body.get("continue_final_message", False)
        assert prefilled != body.get("add_generation_prompt", True)
        ids_1T = self.model.encode(body["messages"], continue_final=prefilled)
        with self.lock:
            made_NT, logits = self.model.sample(
                ids_1T, n=body.get("n", 1), temperature=body["temperature"], top_p=body["top_p"],
                max_tokens=body["max_tokens"], seed=body.get("seed"),
            )  # fmt: skip
        choices = [self._choice(index, made, logits, body) for index, made in enumerate(made_NT)]
        tokens = sum(len(choice["ids"]) for choice in choices)
        for choice in choices:
            del choice["ids"]
        usage = {
            "prompt_tokens": ids_1T.shape[1],
            "completion_tokens": tokens,
            "total_tokens": tokens + ids_1T.shape[1],
        }
        return {"id": "x", "object": "chat.completion", "model": "tiny-judge", "choices": choices, "usage": usage}

    def _choice(self, index: int, made_T: torch.Tensor, logits: list[torch.Tensor], body: dict[str, Any]) -> Any:
        ids = made_T.tolist()
        end = self.model.tokenizer.eos_token_id
        ids = ids[: ids.index(end) + 1] if end in ids else ids
        choice = {"index": index, "message": {"role": "assistant", "content": self.model.text(ids)}, "ids": ids}
        if body.get("logprobs"):
            content = []
            for token, logits_NV in zip(ids, logits, strict=False):
                top = self.model.logprobs(logits_NV[index], body["top_logprobs"])
                listed = [{"token": text, "logprob": value} for text, value in top]
                own = torch.log_softmax(logits_NV[index], -1)[token].item()
                text = self.model.tokenizer.decode([token])
                content.append({"token": text, "logprob": own, "top_logprobs": listed})
            choice["logprobs"] = {"content": content}
        return choice


def build_app(served: Served) -> FastAPI:
    """The API, and the levers beside it."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    def completions(body: dict[str, Any], request: Request) -> Response:
        fault = served.admit(body, request.headers.get("authorization"))
        if fault and "edit" not in fault:
            text = fault.get("text", json.dumps({"error": fault.get("error", {})}))
            return Response(text, fault["status"], fault.get("headers"), "application/json")
        reply = served.complete(body)
        if fault:
            reply |= fault["edit"]
        return Response(json.dumps(reply), media_type="application/json")

    @app.get("/log")
    def log() -> list[dict[str, Any]]:
        return served.log

    @app.post("/faults")
    def faults(body: list[dict[str, Any]]) -> None:
        served.faults = body

    @app.post("/hold/{after}")
    def hold(after: int) -> None:
        served.left = after

    @app.get("/held/{count}")
    def held(count: int) -> bool:
        with served.changed:
            return served.changed.wait_for(lambda: served.held >= count, _PATIENCE_S)

    @app.post("/reset")
    def reset() -> None:
        served.reset()

    return app


def main() -> None:
    """Serve until killed."""
    torch.set_num_threads(1)
    app = build_app(Served(Path(sys.argv[1])))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)  # noqa: T201 - how the tests learn it
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
