"""Sample answers of the start policy to the held-out prompts and have the service rank them: POST /rm/v1/rank."""

import argparse
from pathlib import Path
from typing import Any

import torch
from plurality_client import Client
from tqdm import tqdm

from research.rlhf.folder import write_json, write_jsonl
from research.rlhf.worker.language_model import load_policy, one_thread, sample
from research.rlhf.worker.options import prompt_texts


def main() -> None:
    """One row a prompt: its answers in the order drawn, their rewards, and the service's order, best first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--answers", type=int, required=True, help="samples a prompt")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    one_thread()
    policy, tokenizer = load_policy(options.policy)
    rows: list[dict[str, Any]] = []
    with Client(options.url, model=options.model) as client, torch.no_grad():
        prompts = prompt_texts(options.prompts, "held_out")
        for number, prompt in enumerate(tqdm(prompts, desc="best of n", unit="prompt")):
            seed = options.seed * 100_000 + number
            texts = [each.text for each in sample(policy, None, tokenizer, [prompt] * options.answers, seed=seed)]
            ranking = client.rank(prompt, texts)
            rewards = [item.reward for item in ranking.items]
            rows.append({"prompt": prompt, "texts": texts, "rewards": rewards, "order": ranking.order})
        version = client.version()
    write_jsonl(options.output / "ranked.jsonl", rows)
    write_json(options.output / "done.json", {"version": version.version if version else None})


if __name__ == "__main__":
    main()
