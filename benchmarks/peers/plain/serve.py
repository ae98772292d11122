"""A reward server in the manner of trainers': a request is one padded batch, one torch forward, in the event loop."""

from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.peers.options import HOST, Options, parse


def main() -> None:
    """Open the model, serve."""
    options = parse(__doc__)
    torch.set_num_threads(options.threads)
    uvicorn.run(application(options), host=HOST, port=options.port, log_level="warning")


def application(options: Options) -> FastAPI:
    """The app around one model."""
    tokenizer: Any = AutoTokenizer.from_pretrained(options.checkpoint)
    model: Any = AutoModelForSequenceClassification.from_pretrained(options.checkpoint, dtype=torch.float32).eval()
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/get_reward")
    async def get_reward(request: Request) -> dict[str, list[float]]:
        # Blocks the event loop, as the servers that it stands for do.
        body = await request.json()
        batch = tokenizer(body["prompts"], body["responses"], padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            rewards: list[float] = model(**batch).logits[:, 0].tolist()
        return {"rewards": rewards}

    return app


if __name__ == "__main__":
    main()
