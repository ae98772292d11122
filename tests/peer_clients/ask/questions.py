"""What a script is asked, and how it answers. Standard library only: it runs in every client's environment."""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Question:
    """One response, in every form in which clients send one."""

    prompt: str
    response: str
    text: str
    """Both in one text, as a trainer has it: the model's chat template applied, or the one after the other."""
    text_prompt: str
    """The part of `text` that comes before the response."""


@dataclass(frozen=True)
class Asked:
    """The service to ask, and the questions."""

    url: str
    model: str
    checkpoint: str | None
    """A folder with a tokenizer, for clients that apply chat templates themselves."""
    sources: str | None
    """A folder with checkouts of clients that no package index has."""
    questions: list[Question]

    @property
    def prompts(self) -> list[str]:
        """Of all questions."""
        return [question.prompt for question in self.questions]

    @property
    def responses(self) -> list[str]:
        """Of all questions."""
        return [question.response for question in self.questions]

    @property
    def texts(self) -> list[str]:
        """Of all questions."""
        return [question.text for question in self.questions]


def asked() -> Asked:
    """Read the command line: one JSON file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    given = json.loads(options.file.read_text())
    questions = [Question(**entry) for entry in given["questions"]]
    return Asked(options.url, given["model"], given["checkpoint"], given["sources"], questions)


def say(**answers: Iterable[float]) -> None:
    """Print numbers by the name of the way in which they were asked for."""
    sys.stdout.write(json.dumps({name: [float(value) for value in values] for name, values in answers.items()}) + "\n")
