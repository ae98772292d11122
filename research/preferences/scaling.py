"""Study (d): layers x pairs. MiniLM cut to 2, 4 and 6 layers, the topmost trained, on 94 to 3,000 pairs.

UKPConvArg1's debates held out as in study (a), folds 0 to 2; always the same number of steps, so that fewer pairs are
seen more often.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from research.preferences.fit import Settings
from research.preferences.gold import corpora, debates, one_run
from research.preferences.store import Run, Store
from research.preferences.sweep import chosen_rate, run_name

NAME = "scaling"
LAYERS = (2, 4, 6)
PAIRS = (94, 188, 375, 750, 1500, 3000)
SEEDS = 3
RATES = (2e-3, 4e-3)
Curves = Mapping[int, Mapping[int, list[Run]]]
"""By layers and pairs, a run a fold."""


def runs(work: Path) -> Curves:
    """All runs; missing ones are made. A learning rate for each size, chosen on seed 0's validation debates."""
    known = debates()
    corpus, store = corpora(known, work, tuple(layers - 1 for layers in LAYERS)), Store(work / NAME)
    found: dict[int, dict[int, list[Run]]] = {layers: {} for layers in LAYERS}
    with tqdm(total=len(LAYERS) * len(PAIRS) * SEEDS, desc=NAME, unit="run") as bar:
        for layers in LAYERS:

            def one(name: str, settings: Settings) -> Run:
                return one_run(name, settings, known, corpus[settings.layers - 1], store)

            base = Settings(layers=layers, pairs=PAIRS[-1])
            rate = chosen_rate(_name(base), base, RATES, one, known.parts(0).validation)
            for pairs in PAIRS:
                found[layers][pairs] = []
                for fold in range(SEEDS):
                    settings = replace(base, learning_rate=rate, pairs=pairs, seed=fold, fold=fold)
                    found[layers][pairs].append(one(run_name(_name(settings), rate, fold), settings))
                    bar.update()
    return found


def _name(settings: Settings) -> str:
    return f"layers{settings.layers}-pairs{settings.pairs}"
