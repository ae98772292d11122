"""Study (c): MORE, mixing, and mixing with temperatures, on five sources of human preferences.

MORE's steps are smaller than mixing's (‖Σ λ_k g_k‖ ≤ min ‖g_k‖), so its rewards are, and calibration error moves
without better ranking: the fair control is the mixed model with a temperature.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from plurality.core.rows import PreferenceRow
from plurality.training.split import split
from research.preferences import data
from research.preferences.corpus import Corpus, build
from research.preferences.figures import Fold
from research.preferences.fit import Settings, data_digest, train
from research.preferences.store import Run, Store
from research.preferences.sweep import swept
from research.preferences.votes import sample, with_one_voter

NAME = "sources"
MAX_LENGTH = 192
SOURCES = ("dsp-helpful", "hh-rlhf-harmless-test", "dsp-webgpt", "finegrained-qa", "ukpconvarg1")
COUNTS = {"train": 240, "validation": 80, "test": 160}
"""Pairs of each source."""
RATES = (2e-3, 4e-3)
SEEDS = 3
_BASE = Settings(batch=80, epochs=4, pairs=5 * COUNTS["train"])
METHODS: Mapping[str, Settings] = {"mixing": _BASE, "more": replace(_BASE, more=True)}


@dataclass(frozen=True, slots=True)
class Mixed:
    """The five sources, by part."""

    train: list[PreferenceRow]
    validation: list[PreferenceRow]
    test: list[PreferenceRow]


def mixed() -> Mixed:
    """Decided single labels of five sources, each split by prompt (or what hangs together with it)."""
    parts: dict[str, list[PreferenceRow]] = {part: [] for part in COUNTS}
    for name in SOURCES:
        loaded = data.load(name)
        voted = with_one_voter(loaded.rows, 0) if name == "ukpconvarg1" else loaded.rows
        # A vote that a training row does not show is a vote that no objective can see: bt alone here.
        rows = [row.model_copy(update={"votes": None}) for row in voted if row.label != 0.5]
        found = split(rows, (0.55, 0.15, 0.3), seed=0, groups=loaded.groups)
        for part, count in COUNTS.items():
            parts[part] += sample(found[part], count, 0)
    return Mixed(**parts)


def corpus_of(known: Mixed, work: Path) -> Corpus:
    """The texts' activations."""
    rows = [*known.train, *known.validation, *known.test]
    return build(rows, work / "corpus", max_length=MAX_LENGTH, depths=(5,))[5]


def one_run(name: str, settings: Settings, known: Mixed, corpus: Corpus, store: Store) -> Run:
    """A run, made or kept: rewards of validation and test."""
    held_out = [*known.validation, *known.test]
    return store.run(
        name,
        settings,
        data_digest(known.train, held_out),
        lambda: train(name, settings, corpus, known.train, held_out),
    )


def runs(work: Path) -> dict[str, list[Run]]:
    """By method, a run a seed; missing ones are made."""
    known = mixed()
    corpus, store = corpus_of(known, work), Store(work / NAME)
    return swept(
        METHODS,
        RATES,
        lambda name, settings: one_run(name, settings, known, corpus, store),
        known.validation,
        seeds=SEEDS,
        title=NAME,
    )


def fold_of(known: Mixed) -> Fold:
    """Validation and test pairs; clusters are prompts within their source (of UKPConvArg1 the sides of debates)."""
    return Fold(known.validation, known.test, [f"{row.source}:{row.prompt_key}" for row in known.test])
