"""The study's prompts, each with every core sentence that the generator can answer it with; and texts to learn from.

Only families whose answers are a finite language: `counting` and `sums` accept any list and any number, so that a text
of the policy's own could not be valued by a table. Held-out prompts are in neither model's training.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from plurality.synthetic.families import FAMILIES, Family, Task
from plurality.synthetic.generate import DemoDataConfig, generate
from plurality.synthetic.population import Array, attributes
from plurality.synthetic.writing import dress
from research.rlhf.folder import Folder, read_json, write_json, write_jsonl

SEED = 0
"""Of the population, the pairs and the prompts; training runs have seeds of their own."""
FAMILY_NAMES = ("capitals", "knowledge", "how-to", "advice", "messages", "explanations", "small-talk")
TONES = ("warm", "cold", "formal", "casual", "funny", "plain")
_TRAIN_EACH = 200
_HELD_OUT_EACH = 18
_DEMONSTRATIONS_EACH = 8
_LISTINGS = 400
"""Answers drawn to list a prompt's cores: at most 20, so one is missed with a chance below 1e-8."""
_TONE_LISTINGS = 1500
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+")


@dataclass(frozen=True, slots=True)
class StudyPrompt:
    """A prompt and its language: each core sentence with its attributes, in the order of `ATTRIBUTES`."""

    text: str
    family: str
    cores: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Prompts:
    """The two halves; no prompt is in both."""

    train: tuple[StudyPrompt, ...]
    held_out: tuple[StudyPrompt, ...]

    def by_text(self) -> dict[str, StudyPrompt]:
        """All of them."""
        return {prompt.text: prompt for prompt in (*self.train, *self.held_out)}


def load_prompts(folder: Folder) -> Prompts:
    """The prompts; they and the demonstrations are made on the first call."""
    if not (folder.prompts.exists() and folder.demonstrations.exists()):
        _make(folder)
    halves = read_json(folder.prompts)
    return Prompts(*(tuple(StudyPrompt(**each) for each in halves[half]) for half in ("train", "held_out")))


def sentences(text: str) -> list[str]:
    """A text's sentences: no sentence of the generator holds one of these ends within it."""
    return [part for part in _SENTENCE_END.split(text.strip()) if part]


def tone_sentences() -> dict[str, tuple[str, Array]]:
    """Every sentence of tone: its tone and what it adds. Asked of the generator, not copied from it."""
    dice = random.Random(0)
    found: dict[str, tuple[str, Array]] = {}
    for tone in TONES:
        for _ in range(_TONE_LISTINGS):
            answer = dress(dice, "", [tone])
            found[answer.text.strip()] = (tone, answer.attributes)
    return found


def _make(folder: Folder) -> None:
    seen = {pair.prompt for pair in generate(DemoDataConfig(seed=SEED)).train}
    dice = random.Random(f"rlhf-{SEED}")
    tones = tone_sentences()
    families = [family for family in FAMILIES if family.name in FAMILY_NAMES]
    held_out = [(f, task) for f in families for task in _tasks(dice, f, _HELD_OUT_EACH, seen)]
    taken = {task.prompt for _, task in held_out}
    train = [(f, task) for f in families for task in _tasks(dice, f, _TRAIN_EACH, taken)]
    texts = [
        {"prompt": task.prompt, "response": task.answer(dice, dice.random() < 0.5).text}
        for _, task in train
        for _ in range(_DEMONSTRATIONS_EACH)
    ]
    dice.shuffle(texts)
    write_jsonl(folder.demonstrations, texts)
    halves = {
        name: [asdict(StudyPrompt(task.prompt, f.name, list_cores(dice, task, tones))) for f, task in half]
        for name, half in (("train", train), ("held_out", held_out))
    }
    write_json(folder.prompts, halves)


def _tasks(dice: random.Random, family: Family, count: int, avoid: set[str]) -> Sequence[Task]:
    found: dict[str, Task] = {}
    for task in _draws(dice, family, 1000 * count):
        if task.prompt not in avoid:
            found.setdefault(task.prompt, task)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"family {family.name} has fewer than {count} prompts to spare")


def _draws(dice: random.Random, family: Family, most: int) -> Iterator[Task]:
    for _ in range(most):
        yield family.make(dice)


def list_cores(dice: random.Random, task: Task, tones: dict[str, tuple[str, Array]]) -> dict[str, list[float]]:
    """A prompt's cores: an answer's one sentence that is no tone, and what tones leave of its attributes."""
    cores: dict[str, list[float]] = {}
    for number in range(_LISTINGS):
        answer = task.answer(dice, number % 2 == 0)
        parts = sentences(answer.text)
        [core] = [part for part in parts if part not in tones]
        tone = sum((tones[part][1] for part in parts if part in tones), attributes())
        cores[core] = [round(float(value), 9) for value in answer.attributes - tone]
    return cores
