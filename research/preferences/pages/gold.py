"""The page of study (a)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from plurality.core.rows import PreferenceRow
from plurality.stats import Interval, l1, pearson
from plurality.training.margins import contradicted
from research.preferences import gold
from research.preferences.baseline import length_baseline
from research.preferences.figures import STATISTICS, Judged, Resampled, vote_floor
from research.preferences.folds import FOLDS
from research.preferences.pages.page import ENGINE, Page, cost, excludes_zero, shown, signed, table, verdict
from research.preferences.plots import forest
from research.preferences.store import Run
from research.preferences.votes import with_one_voter

_MANY = (
    "- Eight statistics of seven objectives are 56 intervals: two or three would exclude 0 by chance. The statistics "
    "are "
    "not independent of each other."
)
_LOWER = ("L1", "ECE", "NLL")
_NAMES = {"disagreement": "disagreement, Spearman", "contested": "contested pairs, AUC"}


def write(work: Path) -> None:
    """Run the missing parts, then write docs/results/studies/gold.md."""
    runs, known, page = gold.runs(work), gold.debates(), Page(gold.NAME)
    judged = gold.judged(runs, known) | {"length alone": _length(known)}
    found = {name: {key: Resampled(one, of) for key, of in STATISTICS.items()} for name, one in judged.items()}
    raw = {name: Resampled(one, l1, raw=True).interval for name, one in judged.items()}
    differences = {
        key: {name: found[name][key].minus(found["bt"][key]) for name in judged if name != "bt"} for key in STATISTICS
    }
    drawn = {_name(key): differences[key] for key in ("Pearson", "L1", "NLL", "disagreement")}
    forest(drawn, page.plot("differences"), against="bt")
    trained = {key: _trained(of) for key, of in differences.items()}
    verdicts = [verdict(_name(key), of, lower_is_better=key in _LOWER, than="bt") for key, of in trained.items()]
    page.write(
        "Study (a): a gold margin, on debates that were never seen",
        [
            _about(known, runs, gold.corpora(known, work)[5].cut_share),
            cost(runs),
            "## On held-out debates, each model after its own temperature",
            _levels(found, raw),
            _floor(judged["soft"], known),
            "## Against bt, on the same pairs",
            _differences(differences),
            page.image("differences", "differences to bt with intervals"),
            "The intervals are over debates. How much a difference also hangs on the seed, that is on initialization, "
            "order, which 3,000 pairs and which voter, shows in the repeats:",
            _by_repeat(judged),
            "## What it says",
            "\n".join([*verdicts, _MANY]),
            _claim(trained["Pearson"], trained["L1"]),
            _more_votes(found),
        ],
    )


def _name(key: str) -> str:
    return _NAMES.get(key, key)


def _levels(found: Mapping[str, Mapping[str, Resampled]], raw: Mapping[str, Interval]) -> str:
    rows = [[name, *(shown(one.interval) for one in of.values()), shown(raw[name])] for name, of in found.items()]
    return table(["objective", *map(_name, STATISTICS), "L1 of σ(Δ) as trained"], rows)


def _differences(differences: Mapping[str, Mapping[str, Interval]]) -> str:
    models = list(differences["L1"])
    rows = [[name, *(signed(of[name]) for of in differences.values())] for name in models]
    return table(["objective − bt", *map(_name, differences)], rows)


def _by_repeat(judged: Mapping[str, Judged]) -> str:
    """Differences to bt in each repeat: what one seed a debate would have shown."""
    rows = []
    for name in gold.OBJECTIVES:
        if name != "bt":
            gaps = [
                [of(p, judged[name].fraction_N) - of(q, judged["bt"].fraction_N) for p, q in zip(
                    judged[name].probability_RN, judged["bt"].probability_RN, strict=True)]
                for of in (pearson, l1)
            ]  # fmt: skip
            rows.append([name, *(", ".join(f"{gap:+.3f}" for gap in found) for found in gaps)])
    return table(["objective − bt", "Pearson, by repeat", "L1, by repeat"], rows)


def _floor(judged: Judged, known: gold.Debates) -> str:
    votes = np.array([row.votes.total for fold in range(FOLDS) for row in known.parts(fold).test if row.votes])
    mean, high = vote_floor(judged, votes)
    return (
        f"The ECE of a perfect model, to fractions of five votes on these pairs: {mean:.3f} (95 % below {high:.3f}). "
        "L1 "
        "and ECE are to p*, the share of all voters of the pair; five votes are a noisy share, so L1 cannot reach 0 "
        "and "
        "Pearson is at most about 0.86 (split-half reliability 0.74)."
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _trained(found: Mapping[str, Interval]) -> dict[str, Interval]:
    return {name: interval for name, interval in found.items() if name in gold.OBJECTIVES}


def _about(known: gold.Debates, runs: Mapping[str, list[Run]], cut: float) -> str:
    rows = [row for fold in range(FOLDS) for row in _trained_on(known, fold)]
    share = sum(map(contradicted, rows)) / len(rows)
    usable = len(with_one_voter(known.rows, 0))
    return (
        f"UKPConvArg1 (CC-BY-4.0; Habernal and Gurevych, ACL 2016): {len(known.rows):,} pairs of arguments, five votes "
        f"each, 16 debates of two sides. The **label** of a training pair is one voter's choice, drawn from those who "
        f'decided ({usable:,} pairs have one); **margin and share are from the other voters**, "equal" one half. '
        f"The others' majority contradicts the label in {share:.1%} of the training pairs. `bt-majority` is bt on the "
        "others' majority: it has the information of `soft`, cut to one bit.\n\n"
        f"{FOLDS} folds over debates (both sides in one): a seed holds out one fold, validates and calibrates on the "
        f"next, trains on 3,000 pairs of the rest; {len(runs['bt'])} seeds, 0 to {len(runs['bt']) - 1}, so every "
        "debate "
        f"is held out {_times(len(runs['bt']) // FOLDS)}. The learning rate of each objective is the best of "
        f"{', '.join(f'{rate:g}' for rate in gold.RATES)} by NLL on seed 0's validation "
        "debates (which other seeds test on; the same for all). A step is the pairs "
        "of "
        f"one side of a debate; five epochs. {ENGINE} Texts are cut to {gold.MAX_LENGTH} tokens ({cut:.1%} are "
        "longer). "
        "Statistics are means over repeats; intervals are 95 %, 400 resamples of whole debates (16 clusters: both "
        "sides "
        "of a debate share a topic and a model, so they are one cluster; so few make an interval a little short)."
    )


def _trained_on(known: gold.Debates, fold: int) -> list[PreferenceRow]:
    return gold.training_rows(known, replace(gold.OBJECTIVES["bt"], fold=fold, seed=fold))


def _length(known: gold.Debates) -> Judged:
    parts = [known.parts(fold) for fold in range(FOLDS)]
    return length_baseline(
        [(_trained_on(known, fold), part.test) for fold, part in enumerate(parts)],
        [known.topic[row.id] for part in parts for row in part.test],
    )


def _claim(pearson: Mapping[str, Interval], distance: Mapping[str, Interval]) -> str:
    aware = [name for name in pearson if not name.startswith("bt")]
    both = [
        name for name in aware
        if excludes_zero(pearson[name]) and pearson[name].estimate > 0
        and excludes_zero(distance[name]) and distance[name].estimate < 0
    ]  # fmt: skip
    if both:
        best = max(both, key=lambda name: pearson[name].estimate)
        return (
            f"**Reproduced:** {', '.join(both)} beat bt on held-out debates in Pearson and in L1 with paired intervals "
            f"that exclude 0; best {best}, Pearson {signed(pearson[best])}, L1 {signed(distance[best])}."
        )
    best = max(aware, key=lambda name: pearson[name].estimate)
    return (
        "**Not reproduced:** no objective beats bt in both Pearson and L1 with intervals that exclude 0. The best in "
        f"Pearson is {best}: {signed(pearson[best])}, L1 {signed(distance[best])}."
    )


def _more_votes(found: Mapping[str, Mapping[str, Resampled]]) -> str:
    lines = [
        f"{key} {signed(found[name][key].minus(found['bt-majority'][key]))}" for name in ("soft",)
        for key in ("Pearson", "L1", "NLL", "disagreement")
    ]  # fmt: skip
    return (
        "Is it the share, or only that four votes say more than one? soft − bt-majority, both from the same four "
        f"votes: {'; '.join(lines)}. The paper's margin is `margin` (policy `paper`)."
    )
