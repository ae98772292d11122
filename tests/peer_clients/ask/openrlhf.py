"""OpenRLHF's remote reward: `SingleTurnAgentExecutor`, its HTTP call alone and, with a tokenizer, its whole rollout.

Also the file of ours that it can load in place of a URL.
"""

import asyncio
import os
import sys
from types import SimpleNamespace
from typing import Any

from openrlhf.utils.agent import SingleTurnAgentExecutor  # type: ignore[import-not-found]

from tests.peer_clients.ask.questions import Asked, asked, say


async def fetched(asked: Asked, executor: Any) -> list[dict[str, Any]]:
    """One item a request, all at once, as rollouts ask."""
    calls = [
        executor._fetch_rewards_via_http([question.text], [question.text_prompt], [None])
        for question in asked.questions
    ]
    return [answers[0] for answers in await asyncio.gather(*calls)]


async def executed(asked: Asked, executor: Any) -> list[dict[str, Any]]:
    """The rollout with a scripted engine in vLLM's place: decoding, request and reading of the reply are OpenRLHF's."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(asked.checkpoint)
    results = []
    for question in asked.questions:
        ids = tokenizer(question.text.removeprefix(question.text_prompt), add_special_tokens=False)["input_ids"]

        async def generate(*_: object, ids: list[int] = ids, **__: object) -> SimpleNamespace:
            return SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids, finish_reason="stop", logprobs=None)])

        sampling = SimpleNamespace(max_tokens=len(ids), logprobs=None)
        engine = SimpleNamespace(generate=generate)
        results.append(await executor.execute(question.text_prompt, "label", sampling, 10_000, tokenizer, engine))
    return results


async def loaded(asked: Asked) -> list[float]:
    """Rewards of our `reward_func`, loaded and called by OpenRLHF."""
    os.environ["PLURALITY_URL"] = asked.url
    sys.path.insert(0, "client")
    executor = SingleTurnAgentExecutor(["client/examples/openrlhf_reward_func.py"])
    calls = [
        executor._fetch_rewards_via_func([question.text], [question.text_prompt], [None])
        for question in asked.questions
    ]
    return [answers[0]["rewards"] for answers in await asyncio.gather(*calls)]


async def main() -> None:
    """Both servers of the list are the same one: requests take turns."""
    questions = asked()
    executor = SingleTurnAgentExecutor([questions.url + "/get_reward"] * 2)
    answers = await fetched(questions, executor)
    told = {
        "rewards": [answer["rewards"][0] for answer in answers],
        "scores": [answer["scores"][0] for answer in answers],
        "logged": [answer["extra_logs"]["tokens"][0] for answer in answers],
    }
    if all(question.text_prompt == question.prompt for question in questions.questions):
        told["reward_func"] = await loaded(questions)
    if questions.checkpoint:
        results = await executed(questions, executor)
        told["rollout_rewards"] = [result["reward"][0] for result in results]
        told["rollout_scores"] = [result["scores"][0] for result in results]
    say(**told)


if __name__ == "__main__":
    asyncio.run(main())
