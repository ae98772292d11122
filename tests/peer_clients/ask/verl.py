"""verl's reward loop: `RewardLoopWorker.compute_score`, for vLLM, for SGLang, and with a reward function of ours.

The worker is no Ray actor here.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import verl  # type: ignore[import-not-found]
from omegaconf import OmegaConf  # type: ignore[import-not-found]
from verl import DataProto
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker  # type: ignore[import-not-found]

from tests.peer_clients.ask.questions import Asked, Question, asked, say


def worker_for(asked: Asked, *, engine: str | None = None, function: str | None = None) -> Any:
    """One of verl's own defaults, with a reward model, or with a reward function in its place."""
    reward = OmegaConf.load(Path(verl.__file__).parent / "trainer" / "config" / "reward" / "reward.yaml")
    if engine:
        reward.reward_model.enable = True
        reward.reward_model.model_path = asked.checkpoint
        reward.reward_model.rollout.name = engine
    if function:
        reward.custom_reward_function.path = "client/examples/verl_compute_score.py"
        reward.custom_reward_function.name = function
    model = {"path": asked.checkpoint, "tokenizer_path": None}
    config = OmegaConf.create({"actor_rollout_ref": {"model": model}, "reward": reward})
    return RewardLoopWorker(config, asked.url.removeprefix("http://") if engine else None)


def rollout(worker: Any, question: Question) -> Any:
    """One sample as the policy left it."""
    tokens = worker.input_tokenizer(question.response, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([tokens], dtype=torch.long)
    others = {
        "raw_prompt": [{"role": "user", "content": question.prompt}],
        "data_source": "questions",
        "reward_model": {"ground_truth": None},
        "extra_info": {"prompt": question.prompt},
    }
    columns = {name: np.empty(1, dtype=object) for name in others}
    for name, value in others.items():
        columns[name][0] = value
    return DataProto.from_dict({"responses": ids, "attention_mask": torch.ones_like(ids)}, columns)


def main() -> None:
    """Score every question in each way."""
    questions = asked()
    assert questions.checkpoint is not None
    os.environ["PLURALITY_URL"] = questions.url
    sys.path.insert(0, "client")
    workers = {engine: worker_for(questions, engine=engine) for engine in ("vllm", "sglang")}
    workers |= {name: worker_for(questions, function=name) for name in ("compute_score", "compute_score_async")}
    rewards = {}
    for name, worker in workers.items():
        samples = [rollout(worker, question) for question in questions.questions]
        # On the worker's own loop, as Ray runs it.
        rewards[name] = [
            worker.loop.run_until_complete(worker.compute_score(sample))["reward_score"] for sample in samples
        ]
    say(**rewards)


if __name__ == "__main__":
    main()
