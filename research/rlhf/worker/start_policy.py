"""Teach the start policy to answer as the demo's generator does: well or badly, in every tone."""

import argparse
import json
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from research.rlhf.worker.language_model import ANSWER, END, START, new_policy, new_tokenizer, one_thread

_BATCH = 64
_LEARNING_RATE = 2e-3
_WARM_UP = 0.05
_SEED = 0


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demonstrations", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    one_thread()
    torch.manual_seed(_SEED)
    rows = [json.loads(line) for line in options.demonstrations.read_text(encoding="utf-8").splitlines()]
    tokenizer = new_tokenizer([text for row in rows for text in (row["prompt"], row["response"])])
    policy = new_policy(tokenizer)
    texts = [f"{START} {row['prompt']}{ANSWER} {row['response']}{END}" for row in rows]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    loss = _fit(policy, ids, tokenizer, options.epochs)
    partial = options.output.with_name(f".{options.output.name}.partial")
    policy.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    (partial / "start.json").write_text(
        json.dumps({"loss": loss, "epochs": options.epochs, "texts": len(rows)}), encoding="utf-8"
    )
    partial.rename(options.output)


def _fit(policy: Any, ids: Sequence[list[int]], tokenizer: Any, epochs: int) -> float:
    """AdamW with a cosine; the loss counts the answer alone. Returns the mean loss of the last epoch."""
    dice = random.Random(_SEED)
    steps = epochs * math.ceil(len(ids) / _BATCH)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=_LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _factor(step / steps))
    answer, last = tokenizer.convert_tokens_to_ids(ANSWER), 0.0
    policy.train()
    with tqdm(total=steps, desc="start policy", unit="step") as bar:
        for _ in range(epochs):
            losses = []
            for batch in _batches(ids, dice):
                tokens_BT, labels_BT = _tensors(batch, answer, tokenizer.pad_token_id)
                loss = policy(input_ids=tokens_BT, labels=labels_BT).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                losses.append(loss.item())
                bar.update()
                bar.set_postfix(loss=f"{losses[-1]:.3f}")
            last = sum(losses) / len(losses)
    return last


def _factor(share: float) -> float:
    return share / _WARM_UP if share < _WARM_UP else 0.5 * (1 + math.cos(math.pi * share))


def _batches(ids: Sequence[list[int]], dice: random.Random) -> Iterator[list[list[int]]]:
    """Texts of like length together, the batches in a random order."""
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), dice.random()))
    batches = [[ids[i] for i in order[at : at + _BATCH]] for at in range(0, len(order), _BATCH)]
    dice.shuffle(batches)
    yield from batches


def _tensors(batch: list[list[int]], answer: int, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, batch))
    tokens_BT = torch.tensor([row + [pad] * (longest - len(row)) for row in batch])
    labels_BT = tokens_BT.clone()
    in_prompt_BT = (tokens_BT == answer).cumsum(1) - (tokens_BT == answer).long() == 0
    labels_BT[in_prompt_BT | (tokens_BT == pad)] = -100
    return tokens_BT, labels_BT


if __name__ == "__main__":
    main()
