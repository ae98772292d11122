"""Rewards for TRL's GRPOTrainer (RLOOTrainer takes the same): python trl_grpo_reward.py --url http://127.0.0.1:8080

In a training script:

    trainer = GRPOTrainer(
        model="Qwen/Qwen3-0.6B",
        args=GRPOConfig(output_dir="out", num_generations=8),
        train_dataset=dataset,  # with a column `prompt`: texts or conversations
        reward_funcs=reward_function("http://127.0.0.1:8080", model="demo-margin"),
    )

Here the function is called as the trainer calls it, and GRPO's advantages are computed from its rewards.
"""

import argparse
import asyncio
from statistics import fmean, stdev

from plurality_client.trl import reward_function

PROMPT = [{"role": "user", "content": "Name a prime number above ten."}]
ANSWERS = ("Eleven.", "Twelve.", "A prime above ten is 13.", "No.")


def main() -> None:
    """Reward one group of completions."""
    parser = argparse.ArgumentParser(description="One GRPO group, rewarded.")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--model", help="name, name@alias or name@digest")
    chosen = parser.parse_args()
    reward = reward_function(chosen.url, chosen.model, timeout_s=60)
    columns: dict[str, list[object]] = {}
    call = reward(
        prompts=[PROMPT] * len(ANSWERS),
        completions=[[{"role": "assistant", "content": text}] for text in ANSWERS],
        completion_ids=[[0]] * len(ANSWERS),
        log_metric=lambda name, value: print("metric", name, value),
        log_extra=columns.__setitem__,
        trainer_state=None,
        topic=["numbers"] * len(ANSWERS),  # every column of the data set comes along
    )
    rewards = [value for value in asyncio.run(call) if value is not None]  # TRL leaves None out of the group
    print("version", columns["plurality_version"][0])
    print("rewards", *rewards)
    print("advantages", *((value - fmean(rewards)) / (stdev(rewards) + 1e-4) for value in rewards))


if __name__ == "__main__":
    main()
