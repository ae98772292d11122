"""Read what annotators answered to the three tasks of arXiv 2412.03822 (appendix, "Annotator Guidelines") from a CSV.

One line for one annotator's answers to one pair (columns `id annotator task1 task2 task3`), or one line a pair with a
column for each annotator (`id task1_1 task2_1 task3_1 task1_2 ...`); task1 and task2 may be missing. Cells hold the
option as it is printed, or its letter or number:

    task1   A) only one single correct choice     B) multiple possible correct answers    (or: single, multiple)
    task2   A) essentially the same content       B) clearly different   (or: indistinguishable, distinguishable)
    task3   1) 10A-0B   2) 9A-1B   ...   11) 0A-10B   (or the number 1 to 11, or 10A-0B, 10-0, ...)

As printed, option 11 of task 3 reads "10A-0B" like option 1; it is 0A-10B. Where a number is given it decides.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plurality.training.errors import BadRow, DataError, TrainingError

_TASKS = ("task1", "task2", "task3")
_PEOPLE = 10
_OPTIONS = _PEOPLE + 1
_WORDS: Mapping[str, Mapping[str, bool]] = {
    "task1": {"a": True, "b": False, "single": True, "multiple": False},
    "task2": {"a": False, "b": True, "indistinguishable": False, "distinguishable": True},
}
_OPTION = re.compile(r"(?:(\d+)\s*[).:]\s*)?(\d+)\s*A?\s*-\s*(\d+)\s*B?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Annotation:
    """The combined annotations of one pair."""

    annotators: int
    preference: float
    """p*: the mean of their 10-0 ... 0-10 estimates for a, over ten."""
    single_correct: bool | None
    """Majority of task 1; None where as many said the one as the other, or nobody was asked."""
    distinguishable: bool | None
    """Majority of task 2; None as above."""


@dataclass(frozen=True, slots=True)
class Votes:
    """Read annotations by the pair's id, with notes about the file."""

    annotations: Mapping[str, Annotation]
    notes: Sequence[str]


@dataclass(slots=True)
class _Answer:
    """One annotator's cells on one pair, read."""

    for_a: int
    single: bool | None = None
    distinguishable: bool | None = None
    numbered: bool = True
    """Whether task 3 gives the option's number."""


def read_votes(path: Path, known: Sequence[str] | None = None) -> Votes:
    """Read the annotators' file.

    Args:
        known: ids of the pairs that may be annotated; None allows every id.

    Raises:
        DataError: with all bad cells, each by its line.
        TrainingError: no such file, no column `id` or `task3`, or no line at all.
    """
    answers: dict[str, dict[str, _Answer]] = {}
    bad: list[BadRow] = []
    allowed = None if known is None else set(known)
    for line, identity, annotator, cells in _records(path):
        try:
            if not identity:
                raise ValueError("id: empty")
            if allowed is not None and identity not in allowed:
                raise ValueError("id: no pair of the data has it")
            if annotator in answers.setdefault(identity, {}):
                raise ValueError("annotator: has answered this pair already")
            answers[identity][annotator] = _answer(cells)
        except ValueError as error:
            bad.append(BadRow(line, str(error)))
    if bad:
        raise DataError(path.name, bad)
    if not answers:
        raise TrainingError(f"{path.name} holds no annotations")
    everyone = [answer for given in answers.values() for answer in given.values()]
    annotations = {identity: _together(list(given.values())) for identity, given in answers.items()}
    return Votes(annotations, _notes(annotations, everyone))


def _records(path: Path) -> Iterator[tuple[int, str, str, dict[str, str]]]:
    """(line, id, annotator, {task: cell}) of everyone's answers."""
    if not path.is_file():
        raise TrainingError(f"{path}: no such file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = _columns(path.name, reader.fieldnames or ())
            for row in reader:
                # Fields beyond the header hang under None, those that a short line lacks are None.
                cells = {name.strip(): (value or "").strip() for name, value in row.items() if isinstance(value, str)}
                for annotator, tasks in columns.items():
                    who = cells.get("annotator", "") if annotator is None else annotator
                    given = {task: cells.get(column, "") for task, column in tasks.items()}
                    yield reader.line_num, cells.get("id", ""), who, given
    except UnicodeDecodeError:
        raise TrainingError(f"{path.name}: not UTF-8") from None
    except csv.Error as error:
        raise TrainingError(f"{path.name}: not CSV ({error})") from None


def _columns(name: str, header: Sequence[str]) -> dict[str | None, dict[str, str]]:
    """Map {annotator: {task: column}}; the annotator None is a column without an annotator in its name."""
    columns = [column.strip() for column in header]
    found: dict[str | None, dict[str, str]] = {}
    if {"annotator", "task3"} <= set(columns):
        found[None] = {task: task for task in _TASKS if task in columns}
    else:
        for column in columns:
            if match := re.fullmatch(r"(task[123])_(.+)", column):
                found.setdefault(match[2], {})[match[1]] = column
    if "id" not in columns or not found or any("task3" not in tasks for tasks in found.values()):
        raise TrainingError(
            f"{name}: expected the columns id, annotator, task1, task2, task3 (one line for one annotator), or id, "
            "task1_1, task2_1, task3_1, task1_2, ... (one line a pair); task1 and task2 may be missing"
        )
    return found


def _answer(cells: Mapping[str, str]) -> _Answer:
    single, distinguishable = (_choice(task, cells[task]) if task in cells else None for task in _TASKS[:2])
    option, for_a = _preference(cells["task3"])
    return _Answer(for_a, single, distinguishable, numbered=option is not None)


def _choice(task: str, cell: str) -> bool:
    word = re.match(r"[a-z]*", cell.lower())
    found = _WORDS[task].get(word[0] if word else "")
    if found is None:
        raise ValueError(f"{task}: expected {', '.join(_WORDS[task])}")
    return found


def _preference(cell: str) -> tuple[int | None, int]:
    """(option's number if it is given, how many of ten would prefer a)."""
    if number := re.fullmatch(r"(\d+)\s*[).:]?", cell):
        option = _checked(int(number[1]))
        return option, _OPTIONS - option
    match = _OPTION.fullmatch(cell)
    if match is None or int(match[2]) + int(match[3]) != _PEOPLE:
        raise ValueError("task3: expected an option 1 to 11, or 10A-0B to 0A-10B")
    if match[1] is None:
        return None, int(match[2])
    option, written = _checked(int(match[1])), int(match[2])
    misprint = option == _OPTIONS and written == _PEOPLE
    if written != _OPTIONS - option and not misprint:
        raise ValueError(f"task3: option {option} does not read like that")
    return option, _OPTIONS - option


def _checked(option: int) -> int:
    if not 1 <= option <= _OPTIONS:
        raise ValueError("task3: the options are 1 to 11")
    return option


def _together(given: Sequence[_Answer]) -> Annotation:
    return Annotation(
        annotators=len(given),
        preference=sum(answer.for_a for answer in given) / (_PEOPLE * len(given)),
        single_correct=_majority([answer.single for answer in given]),
        distinguishable=_majority([answer.distinguishable for answer in given]),
    )


def _majority(said: Sequence[bool | None]) -> bool | None:
    """Return the majority's answer; None for a tie, which puts the pair in neither category."""
    balance = Counter(said)[True] - Counter(said)[False]
    return None if balance == 0 else balance > 0


def _notes(annotations: Mapping[str, Annotation], everyone: Sequence[_Answer]) -> list[str]:
    notes = []
    sizes = Counter(entry.annotators for entry in annotations.values())
    notes.append(", ".join(f"{pairs} pairs by {size} annotators" for size, pairs in sorted(sizes.items())))
    for field, task in (("single_correct", "task1"), ("distinguishable", "task2")):
        tied = sum(getattr(entry, field) is None for entry in annotations.values())
        if tied:
            notes.append(f"{tied} pairs without a majority in {task} (a tie, or not asked): in neither category")
    texts = Counter(answer.for_a for answer in everyone if not answer.numbered)
    if texts[_PEOPLE] and not texts[0]:
        notes.append(
            f'{texts[_PEOPLE]} answers read "10A-0B" without the number of the option, and none "0A-10B": if they were '
            "given on the form as printed, option 11 is among them; write the numbers"
        )
    return notes
