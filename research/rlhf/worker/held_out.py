"""Watch a training run from outside it: at some steps, sample answers to the held-out prompts and ask their rewards.

The rows are judged later by whoever knows the truth; the trainer never sees them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plurality_client import Client
from transformers import TrainerCallback

from research.rlhf.worker.language_model import sample

_ANSWERS = 4
"""A prompt."""


class HeldOut(TrainerCallback):  # type: ignore[misc]
    """Writes a row an answer: step, prompt, text, tokens, log_ratio, reward."""

    def __init__(
        self, policy: Any, start: Any, tokenizer: Any, *, prompts: Sequence[str], every: int, client: Client, path: Path
    ) -> None:
        self._policy, self._start, self._tokenizer = policy, start, tokenizer
        self._prompts, self._every, self._client, self._path = prompts, every, client, path

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Before the first update: the point from which all runs start."""
        self._path.write_text("", encoding="utf-8")
        self._look(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After every `every` updates, and after the last."""
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._look(state.global_step)

    def _look(self, step: int) -> None:
        asked = [prompt for prompt in self._prompts for _ in range(_ANSWERS)]
        samples = sample(self._policy, self._start, self._tokenizer, asked, seed=step)
        rewards = self._client.score([(each.prompt, each.text) for each in samples]).rewards
        with self._path.open("a", encoding="utf-8") as file:
            for each, reward in zip(samples, rewards, strict=True):
                row = {"step": step, **asdict(each), "reward": reward}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
