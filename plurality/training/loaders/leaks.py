"""What two files share: the same prompt, the same answer. Reported with counts and ids, never with a text."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plurality.core.pairs import normalize, text_key
from plurality.core.rows import PreferenceRow

_EXAMPLES = 5
LONG = 40
"""Characters of a normalized answer from which it is unlikely to be said twice by chance."""
KINDS = ("prompt", "answer", f"answer of {LONG}+ characters")


@dataclass(slots=True)
class Leak:
    """What two files share. Texts are never shown, only ids of rows in the second file."""

    first: str
    second: str
    kind: str
    rows: int = 0
    """Rows of the second file that share something with the first."""
    examples: list[str] = field(default_factory=list)


def leaks(files: Mapping[str, Sequence[PreferenceRow]]) -> list[Leak]:
    """Same prompts, and same answers, between every two files; those of `LONG` and more characters counted apart."""
    keyed = {name: [(row.id, _keys(row)) for row in rows] for name, rows in files.items()}
    found: list[Leak] = []
    names = list(files)
    for i, first in enumerate(names):
        seen: dict[str, set[str]] = defaultdict(set)
        for _, keys in keyed[first]:
            for kind, values in keys.items():
                seen[kind] |= values
        for second in names[i + 1 :]:
            by_kind = {kind: Leak(first, second, kind) for kind in KINDS}
            for identity, keys in keyed[second]:
                for kind in [kind for kind, values in keys.items() if values & seen[kind]]:
                    by_kind[kind].rows += 1
                    by_kind[kind].examples += [identity] * (len(by_kind[kind].examples) < _EXAMPLES)
            found += [leak for leak in by_kind.values() if leak.rows]
    return found


def _keys(row: PreferenceRow) -> dict[str, set[str]]:
    answers = {text_key(text): len(normalize(text)) for text in (row.response_a, row.response_b)}
    long = {key for key, length in answers.items() if length >= LONG}
    return dict(zip(KINDS, ({row.prompt_key}, set(answers), long), strict=True))
