"""Study (f): does calibration error foretell what best of n gains? The truth: an argument's mean share of people.

In a held-out side of a debate an argument's utility is the mean human win share over all its pairs. Best of n by
reward, among n random arguments of the side, gains its expected utility less the side's mean (`stats.best_of_n`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_export.fit_calibration import probabilities
from plurality.core.rows import PreferenceRow
from plurality.stats import best_of_n, ece, nll, pearson
from research.preferences import gold, scaling
from research.preferences.corpus import text_id, texts_of
from research.preferences.figures import Array, accuracy, differences, fractions_of, temperature
from research.preferences.store import Run, Store
from service.bundle.calibrate import UNCALIBRATED

NAME = "selection"
NS = (2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One trained model on the debates that it held out."""

    study: str
    kind: str
    """Objective, or layers and pairs: what repeats share."""
    fold: int
    gain: Mapping[int, float]
    """By n, as a share of what choosing by utility itself would gain."""
    ece: float
    """Of σ(Δ) as trained, to people's shares."""
    ece_calibrated: float
    """After a temperature from validation debates."""
    nll: float
    accuracy: float
    pearson: float


def utilities(rows: Sequence[PreferenceRow]) -> dict[str, dict[str, float]]:
    """Mean fraction of people that prefers a text, over its pairs, by side of the debate and text id."""
    shares: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        a, b = map(text_id, texts_of(row))
        shares[row.prompt or ""][a].append(row.preference)
        shares[row.prompt or ""][b].append(1 - row.preference)
    return {side: {text: float(np.mean(found)) for text, found in of.items()} for side, of in shares.items()}


def gains(reward: Array, utility: Array, ns: Sequence[int] = NS) -> dict[int, float]:
    """Expected utility of best of n by reward, less the mean; as a share of that by utility itself."""
    ours, best = best_of_n(reward, utility), best_of_n(utility, utility)
    return {n: float((ours[n - 1] - ours[0]) / (best[n - 1] - best[0])) for n in ns}


def checkpoints(work: Path) -> list[Checkpoint]:
    """Every run of studies (a) and (d) that is there, learning-rate sweeps too."""
    known, found = gold.debates(), []
    for study in (gold.NAME, scaling.NAME):
        store = Store(work / study)
        for path in sorted(store.folder.glob("*.json")):
            run = store.get(path.stem)
            if run is not None:
                found.append(_checkpoint(study, run, known))
    return found


def _checkpoint(study: str, run: Run, known: gold.Debates) -> Checkpoint:
    part = known.parts(run.settings["fold"])
    gap, people = differences(run, part.test), fractions_of(part.test)
    raw = probabilities(UNCALIBRATED, gap)
    calibrated = probabilities(temperature(run, part.validation), gap)
    sides = [
        gains(np.array([run.reward[text] for text in of]), np.array(list(of.values())))
        for of in utilities(part.test).values()
    ]
    return Checkpoint(
        study=study,
        kind=run.name.rsplit("-seed", 1)[0],
        fold=run.settings["fold"],
        gain={n: float(np.mean([side[n] for side in sides])) for n in NS},
        ece=ece(raw, people),
        ece_calibrated=ece(calibrated, people),
        nll=nll(calibrated, people),
        accuracy=accuracy(raw, people),
        pearson=pearson(calibrated, people),
    )


def within_folds(values: Array, folds: Sequence[int]) -> Array:
    """Values less their fold's mean: debates differ in how much there is to gain, whatever the model."""
    fold = np.array(folds)
    found = values.copy()
    for one in np.unique(fold):
        found[fold == one] -= values[fold == one].mean()
    return found
