"""Study (a): a gold margin. One voter's choice is the label, the other voters say how sure to be (UKPConvArg1).

Five folds over 16 debates (both sides of a debate in one fold): seed s holds out fold s mod 5, validates and calibrates
on the next, trains on the rest; so each debate is held out once in five seeds. Learning rates of every objective are
chosen on seed 0, by NLL on its validation debates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from plurality.core.rows import PreferenceRow
from research.preferences import data
from research.preferences.corpus import Corpus, build
from research.preferences.figures import Fold, Judged, judge
from research.preferences.fit import Settings, data_digest, train
from research.preferences.folds import FOLDS, Parts, parts
from research.preferences.store import Run, Store
from research.preferences.sweep import swept
from research.preferences.votes import majority_label, sample, with_one_voter

NAME = "gold"
MAX_LENGTH = 128
REPEATS = 3
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
OBJECTIVES: Mapping[str, Settings] = {
    "bt": Settings(),
    "bt-majority": Settings(label="majority"),
    "margin": Settings(objective="margin"),
    "margin-clamp": Settings(objective="margin", margin_policy="clamp"),
    "margin-signed": Settings(objective="margin", margin_policy="signed"),
    "margin-drop": Settings(objective="margin", margin_policy="drop"),
    "soft": Settings(objective="soft"),
    "mix": Settings(objective="mix"),
}


@dataclass(frozen=True, eq=False)
class Debates:
    """The data of this study; compares by identity, so that caches key on it."""

    rows: list[PreferenceRow]
    topic: dict[str, str]
    """Row id -> debate, of two sides."""

    def parts(self, fold: int) -> Parts:
        """Held-out, validation and training debates."""
        return _parts(self, fold)


@cache
def debates() -> Debates:
    """All pairs of UKPConvArg1."""
    loaded = data.load("ukpconvarg1")
    return Debates(loaded.rows, loaded.groups)


def corpora(known: Debates, work: Path, depths: tuple[int, ...] = (5,)) -> dict[int, Corpus]:
    """Their texts' activations."""
    return build(known.rows, work / "corpus", max_length=MAX_LENGTH, depths=depths)


@cache
def _parts(known: Debates, fold: int) -> Parts:
    return parts(known.rows, known.topic, fold)


@cache
def _drawn(known: Debates, fold: int, seed: int, pairs: int) -> list[PreferenceRow]:
    return sample(with_one_voter(known.parts(fold).train, seed), pairs, seed)


def training_rows(known: Debates, settings: Settings) -> list[PreferenceRow]:
    """What a run trains on: the same pairs and voters under every objective."""
    rows = _drawn(known, settings.fold, settings.seed, settings.pairs)
    return [majority_label(row) for row in rows] if settings.label == "majority" else rows


def one_run(name: str, settings: Settings, known: Debates, corpus: Corpus, store: Store) -> Run:
    """A run, made or kept: rewards of validation and held-out debates."""
    part = known.parts(settings.fold)
    rows, held_out = training_rows(known, settings), [*part.validation, *part.test]
    sides = [row.prompt or "" for row in rows]
    return store.run(
        name,
        settings,
        data_digest(rows, held_out),
        lambda: train(name, settings, corpus, rows, held_out, groups=sides),
    )


def runs(work: Path) -> dict[str, list[Run]]:
    """By objective, a run a seed, in order; missing ones are made."""
    known = debates()
    corpus, store = corpora(known, work)[5], Store(work / NAME)
    return swept(
        OBJECTIVES,
        RATES,
        lambda name, settings: one_run(name, settings, known, corpus, store),
        known.parts(0).validation,
        seeds=FOLDS * REPEATS,
        folds=FOLDS,
        title=NAME,
    )


def judged(found: Mapping[str, list[Run]], known: Debates) -> dict[str, Judged]:
    """By objective, predictions on all debates, each held out once a repeat. Clusters are debates of both sides."""
    folds = []
    for fold in range(FOLDS):
        part = known.parts(fold)
        folds.append(Fold(part.validation, part.test, [known.topic[row.id] for row in part.test]))
    return {
        name: judge([runs_[start : start + FOLDS] for start in range(0, len(runs_), FOLDS)], folds)
        for name, runs_ in found.items()
    }
