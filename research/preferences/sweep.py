"""The same sweep for every objective: a learning rate chosen on seed 0's validation pairs, then all seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tqdm import tqdm

from plurality.core.rows import PreferenceRow
from research.preferences.figures import validation_nll
from research.preferences.fit import Settings
from research.preferences.store import Run

Make = Callable[[str, Settings], Run]
"""A run by its name and settings, made or kept."""


def chosen_rate(
    name: str, base: Settings, rates: Sequence[float], one: Make, validation: Sequence[PreferenceRow]
) -> float:
    """The learning rate of least NLL on validation pairs, after a temperature."""
    tried = {
        rate: validation_nll(one(run_name(name, rate, base.seed), replace(base, learning_rate=rate)), validation)
        for rate in rates
    }
    return min(tried, key=lambda rate: tried[rate])


def swept(
    bases: Mapping[str, Settings],
    rates: Sequence[float],
    one: Make,
    validation: Sequence[PreferenceRow],
    *,
    seeds: int,
    folds: int = 1,
    title: str,
) -> dict[str, list[Run]]:
    """By objective, a run a seed, with its chosen learning rate; seed s holds out fold s mod `folds`."""
    found: dict[str, list[Run]] = {}
    with tqdm(total=len(bases) * seeds, desc=title, unit="run") as bar:
        for name, base in bases.items():
            rate = chosen_rate(name, base, rates, one, validation)
            found[name] = []
            for seed in range(seeds):
                settings = replace(base, learning_rate=rate, seed=seed, fold=seed % folds)
                found[name].append(one(run_name(name, rate, seed), settings))
                bar.update()
    return found


def run_name(name: str, rate: float, seed: int) -> str:
    """What a run is called on disk."""
    return f"{name}-lr{rate:g}-seed{seed}"
