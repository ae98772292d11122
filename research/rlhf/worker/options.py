"""What every training run is told, and how it says that it is finished."""

import argparse
import json
from pathlib import Path

from plurality_client import Client

from research.rlhf.folder import read_json, write_json


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that GRPO and PPO share."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--url", required=True, help="the service")
    made.add_argument("--model", required=True, help="name or name@alias of the reward model")
    made.add_argument("--policy", type=Path, required=True, help="the start policy's folder")
    made.add_argument("--prompts", type=Path, required=True, help="prompts.json")
    made.add_argument("--output", type=Path, required=True, help="the run's folder")
    made.add_argument("--steps", type=int, required=True)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--held-out-every", type=int, default=20, help="steps between looks at the held-out prompts")
    return made


def prompt_texts(path: Path, half: str) -> list[str]:
    """The texts of one half of the prompts."""
    return [each["text"] for each in read_json(path)[half]]


def finish(output: Path, client: Client, log: list[dict[str, float]]) -> None:
    """The last thing that a run writes: a folder without it is a run that broke off."""
    version = client.version()
    (output / "log.json").write_text(json.dumps(log), encoding="utf-8")
    write_json(output / "done.json", {"version": version.version if version else None})
