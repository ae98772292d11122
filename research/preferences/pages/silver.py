"""The page of study (b)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from model_export.fit_calibration import probabilities
from plurality.core.rows import PreferenceRow
from plurality.stats import Interval, l1, pearson
from plurality.training.margins import contradicted
from research.preferences import silver
from research.preferences.baseline import length_baseline
from research.preferences.figures import (
    STATISTICS,
    Judged,
    Resampled,
    accuracy,
    differences,
    fractions_of,
    vote_floor,
)
from research.preferences.pages.page import ENGINE, Page, cost, shown, signed, table, verdict
from research.preferences.plots import forest
from research.preferences.store import Run
from research.preferences.votes import with_one_voter
from service.bundle.calibrate import UNCALIBRATED

_SHOWN = ("Pearson", "Spearman", "L1", "ECE", "NLL", "accuracy", "disagreement", "contested")


def write(work: Path) -> None:
    """Run the missing parts, then write docs/results/studies/silver.md."""
    runs, known = silver.runs(work), silver.silver()
    cut = silver.corpus_of(known, work).cut_share
    page, parts = Page(silver.NAME), [_about(known, cut), cost(runs)]
    panels: dict[str, dict[str, Interval]] = {}
    for name in silver.PEOPLE:
        judged = silver.judged(runs, known, name) | {"length alone": _length(known, name)}
        found = {model: {key: Resampled(one, STATISTICS[key]) for key in _SHOWN} for model, one in judged.items()}
        raw = {model: Resampled(one, l1, raw=True).interval for model, one in judged.items()}
        differences = {
            key: {model: found[model][key].minus(found["bt"][key]) for model in judged if model != "bt"}
            for key in _SHOWN
        }
        panels |= {f"{name}: {key}": differences[key] for key in ("Pearson", "L1")}
        parts += _section(name, known.people[name], judged, found, raw, differences)
    forest(panels, page.plot("differences"), against="bt")
    page.write(
        "Study (b): a silver margin, from LLM judges to people's votes",
        [
            *parts,
            page.image("differences", "differences to bt with intervals"),
            "## In the domain of the judges",
            _in_domain(runs, known),
            "## How to read it",
            _reading(known),
        ],
    )


def _section(
    name: str,
    rows: list[PreferenceRow],
    judged: Mapping[str, Judged],
    found: Mapping[str, Mapping[str, Resampled]],
    raw: Mapping[str, Interval],
    differences: Mapping[str, Mapping[str, Interval]],
) -> list[str]:
    votes = np.array([row.votes.total for row in rows if row.votes])
    floor = vote_floor(judged["bt"], votes)
    trained = {key: {model: of[model] for model in of if model in silver.OBJECTIVES} for key, of in differences.items()}
    return [
        f"## {name}: {len(rows):,} pairs on {len({row.prompt_key for row in rows})} prompts, "
        f"{int(np.median(votes))} votes in the median",
        table(["objective", *_SHOWN, "L1 of σ(Δ) as trained"],
              [[model, *(shown(found[model][key].interval) for key in _SHOWN), shown(raw[model])] for model in judged]),
        f"ECE of a perfect model to these votes: {floor[0]:.3f} (95 % below {floor[1]:.3f}).",
        table(["objective − bt", *_SHOWN],
              [[model, *(signed(differences[key][model]) for key in _SHOWN)] for model in judged if model != "bt"]),
        "\n".join(verdict(key, trained[key], lower_is_better=key in ("L1", "ECE", "NLL"), than="bt") for key in _SHOWN),
    ]  # fmt: skip


def _in_domain(runs: Mapping[str, Sequence[Run]], known: silver.Silver) -> str:
    names = sorted({row.source for row in known.validation})
    rows = []
    for objective, found in runs.items():
        cells = []
        for name in names:
            own = [row for row in known.validation if row.source == name]
            gaps, shares = [differences(run, own) for run in found], fractions_of(own)
            cells.append(f"{np.mean([pearson(gap, shares) for gap in gaps]):.2f}")
            cells.append(f"{np.mean([accuracy(probabilities(UNCALIBRATED, gap), shares) for gap in gaps]):.2f}")
        rows.append([objective, *cells])
    head = [f"{name}: {what}" for name in names for what in ("Pearson of Δ to the judges' share", "accuracy")]
    return (
        table(["objective", *head], rows)
        + "\n\nValidation pairs, means over seeds. Learning rates were chosen on them, so this is a little too good."
    )


def _reading(known: silver.Silver) -> str:
    rows = with_one_voter(known.train, 0)
    ties = {
        name: np.mean([row.preference == 0.5 for row in rows if row.source == name])
        for name in sorted({row.source for row in rows})
    }
    listed = ", ".join(f"{name} {share:.0%}" for name, share in ties.items())
    return (
        "- **These models learn little, so the comparison says little.** About a thousand pairs and one trained layer "
        "do "
        "not make a judge of chat answers: see the table above and `length alone` on vicuna80, whose answers are "
        "longer "
        "than what the models are shown. Nothing here speaks for or against silver margins in large models.\n"
        f"- The other judges' share is exactly one half in many training pairs ({listed}): there the judges of "
        "AlpacaEval "
        "both prefer the baseline, or nearly so. `soft` then learns nothing from a pair whose label says something; "
        "`mix` keeps the label. A share from one or two hard judges is no substitute for one from many votes, which is "
        "what study (a) has.\n"
        "- A margin trained on judges is not a probability of people: L1 as trained is far from L1 after a "
        "temperature, "
        "and even that temperature is of the judges; study (e) fits it on people."
    )


def _about(known: silver.Silver, cut: float) -> str:
    rows = with_one_voter(known.train, 0)
    counts = Counter(row.source for row in rows)
    return (
        f"Trained on {len(rows)} pairs ({', '.join(f'{name} {count}' for name, count in sorted(counts.items()))}; both "
        "CC-BY-NC-4.0) that language models judged: AlpacaFarm's pairs by eight runs of GPT-4, and pairs of two "
        "candidates "
        "of AlpacaEval, compared by what two or three judges said of each against the common baseline (differences of "
        f"{silver.SAME:g} or less a tie; prompts of its part `vicuna`, and any prompt of the test, left out). The "
        "label "
        "is one judge's, drawn from the decided ones; margin and share are from the other judges, who contradict it in "
        f"{sum(map(contradicted, rows)) / len(rows):.1%} of the pairs. Validation, for learning rates "
        f"({', '.join(f'{rate:g}' for rate in silver.RATES)}, by NLL on seed 0) and temperatures: "
        f"{len(known.validation)} "
        "pairs of other prompts with the judges' shares. Tested on people's votes, out of domain: Community Alignment "
        "(CC-BY-4.0, arXiv 2507.09650; pairs with four votes or more; p* given that one of the two was picked as best "
        "of "
        f"four) and vicuna80 (MIT, arXiv 2305.14314; three votes). {silver.SEEDS} seeds (initialization, order, label "
        f"drawn); {silver.OBJECTIVES['bt'].epochs} epochs of steps of about {silver.OBJECTIVES['bt'].batch} pairs. "
        f"{ENGINE} "
        f"Texts are cut to {silver.MAX_LENGTH} tokens, prompts first ({cut:.1%} are longer). Intervals are 95 %, 400 "
        "resamples of whole prompts."
    )


def _length(known: silver.Silver, name: str) -> Judged:
    test = known.people[name]
    return length_baseline([(with_one_voter(known.train, 0), test)], [row.prompt_key for row in test])
