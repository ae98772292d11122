"""The client's reward function with a record of what it gave, and the two things a study does to it.

`shuffled`: the control. The same rewards, dealt to the batch's answers by chance: what a run gains then is no
information. `kill_at`: the service's process is killed (SIGKILL, by its id) before the call of that number.
"""

import functools
import json
import os
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plurality_client.trl import Reward, reward_function


@dataclass(frozen=True, slots=True)
class Watch:
    """What to do around each call. `calls` counts them."""

    path: Path
    shuffled: random.Random | None = None
    kill_at: Mapping[int, Path] = field(default_factory=dict)
    """By number of the call: a file with the id of the process to kill."""
    calls: list[int] = field(default_factory=list)


def watched(url: str, watch: Watch, *, model: str, timeout_s: float) -> Reward:
    """A reward function for TRL."""
    watch.path.write_text("", encoding="utf-8")
    return functools.partial(_reward, inner=reward_function(url, model, timeout_s=timeout_s), watch=watch)


async def _reward(
    prompts: Sequence[Any], completions: Sequence[Any], *, inner: Reward, watch: Watch, **rest: Any
) -> list[float | None]:
    watch.calls.append(len(prompts))
    if process := watch.kill_at.get(len(watch.calls)):
        os.kill(int(process.read_text(encoding="utf-8")), signal.SIGKILL)
    asked = await inner(prompts=prompts, completions=completions, **rest)
    given = list(asked)
    if watch.shuffled is not None:
        watch.shuffled.shuffle(given)
    step = rest["trainer_state"].global_step
    with watch.path.open("a", encoding="utf-8") as file:
        for prompt, text, reward, used in zip(prompts, completions, asked, given, strict=True):
            row = {"step": step, "prompt": prompt, "text": text, "reward": reward, "given": used}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return given
