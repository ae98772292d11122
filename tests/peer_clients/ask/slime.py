"""slime's `remote_rm`, out of a checkout: no package index has it."""

import asyncio
import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.peer_clients.ask.questions import Asked, asked, say


async def rewards(asked: Asked, hub: Any, prompts: list[object], query: str = "") -> list[Any]:
    """What a training loop calls, with one sample a request."""
    sample = importlib.import_module("slime.utils.types").Sample
    args = SimpleNamespace(rm_url=f"{asked.url}/get_reward{query}", rm_type="remote_rm", custom_rm_path=None)
    samples = [
        sample(prompt=prompt, response=response, label="label")
        for prompt, response in zip(prompts, asked.responses, strict=True)
    ]
    return list(await hub.batched_async_rm(args, samples))


async def main() -> None:
    """Prompts as texts and as messages, replies as numbers and as objects."""
    questions = asked()
    assert questions.sources is not None
    sys.path.insert(0, str(Path(questions.sources) / "slime"))
    hub = importlib.import_module("slime.rollout.rm_hub")
    chats: list[object] = [[{"role": "user", "content": prompt}] for prompt in questions.prompts]
    say(
        texts=await rewards(questions, hub, list(questions.prompts)),
        messages=await rewards(questions, hub, chats),
        keyed=[reply["score"] for reply in await rewards(questions, hub, chats, "?reply=object")],
    )
    await hub._get_shared_session().close()


if __name__ == "__main__":
    asyncio.run(main())
