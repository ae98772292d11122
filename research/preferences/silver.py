"""Study (b): a silver margin. LLM judges' labels and margins in training; people's votes, elsewhere, in the test.

Trained on AlpacaFarm's pairs (eight runs of GPT-4) and on pairs of candidates of AlpacaEval. There every candidate was
judged against one baseline, always `output_1`: a model of those pairs learns the baseline's style. So two candidates
are compared by what a judge said of each against the baseline; the part `vicuna`, whose prompts are evaluated on, is
left out. Tested on Community Alignment (four votes or more) and on the votes of vicuna80.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from plurality.core.rows import PreferenceRow, Votes
from plurality.training.loaders.collect import Collector, Loaded, Record
from plurality.training.split import hold_out
from research.preferences import data
from research.preferences.corpus import Corpus, build
from research.preferences.figures import Fold, Judged, judge
from research.preferences.fit import Settings, data_digest, train
from research.preferences.folds import parts
from research.preferences.store import Run, Store
from research.preferences.sweep import swept
from research.preferences.votes import chance, sample, with_one_voter

NAME = "silver"
MAX_LENGTH = 256
RATES = (2e-3, 4e-3)
SEEDS = 3
SAME = 0.1
"""Two preferences of a judge that differ by less are a tie."""
INSTRUCTIONS = 300
LEAST_VOTES = 4
_BASE = Settings(batch=48, epochs=4, pairs=1500)
OBJECTIVES: Mapping[str, Settings] = {
    "bt": _BASE,
    "margin": replace(_BASE, objective="margin"),
    "margin-clamp": replace(_BASE, objective="margin", margin_policy="clamp"),
    "soft": replace(_BASE, objective="soft"),
    "mix": replace(_BASE, objective="mix"),
}
PEOPLE = ("community-alignment", "vicuna80")


@dataclass(frozen=True, slots=True)
class Silver:
    """The data of this study."""

    train: list[PreferenceRow]
    validation: list[PreferenceRow]
    people: dict[str, list[PreferenceRow]]
    """By set, pairs that people voted on."""

    def all_rows(self) -> list[PreferenceRow]:
        """Every row whose texts are read."""
        return [*self.train, *self.validation, *(row for rows in self.people.values() for row in rows)]


def candidate_pairs(records: Iterable[Record], *, source: str = "alpaca-eval-candidates") -> Loaded:
    """Pairs of candidates on one instruction, with a vote of each judge that compared both with the baseline."""
    out = Collector(source)
    said: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        if record["dataset"] != "vicuna" and record["preference"] != 0 and record["output_2"] != record["output_1"]:
            candidates = said[str(record["instruction"]).strip()]
            candidates[record["output_2"]].setdefault(record["annotator"], float(record["preference"]))
    for number, (instruction, candidates) in enumerate(said.items()):
        for (first, ours), (second, theirs) in combinations(sorted(candidates.items()), 2):
            votes = compared(ours, theirs)
            if votes is not None:
                out.pair(f"{number}/{chance(0, first)}-{chance(0, second)}", instruction, (first, second), votes=votes)
    return out.finish()


def compared(first: Mapping[str, float], second: Mapping[str, float]) -> Votes | None:
    """Votes of the judges that judged both; a preference is 1 for the baseline to 2 for the candidate."""
    gaps = [first[judge] - second[judge] for judge in first if judge in second]
    if not gaps:
        return None
    ahead, behind = sum(gap > SAME for gap in gaps), sum(gap < -SAME for gap in gaps)
    return Votes(a=ahead, b=behind, tie=len(gaps) - ahead - behind)


def silver() -> Silver:
    """Training and validation pairs by instruction, no instruction of which is in the test."""
    people = {name: data.load(name).rows for name in PEOPLE}
    people[PEOPLE[0]] = [row for row in people[PEOPLE[0]] if row.votes and row.votes.total >= LEAST_VOTES]
    tested = {row.prompt_key for rows in people.values() for row in rows}
    farm = data.load("alpacafarm-gpt4").rows
    pairs = candidate_pairs(data.records("alpaca-eval")).rows
    few = set(sorted({row.prompt or "" for row in pairs}, key=lambda prompt: chance(0, prompt))[:INSTRUCTIONS])
    judged, _ = hold_out([*farm, *(row for row in pairs if row.prompt in few)], tested)
    usable = {row.id for row in with_one_voter(judged, 0)}
    rows = [row for row in judged if row.id in usable]
    part = parts(rows, {row.id: row.prompt_key for row in rows}, 0)
    return Silver(sample([*part.train, *part.test], _BASE.pairs, 0), part.validation, people)


def corpus_of(known: Silver, work: Path) -> Corpus:
    """The texts' activations."""
    return build(known.all_rows(), work / "corpus", max_length=MAX_LENGTH, depths=(5,))[5]


def one_run(name: str, settings: Settings, known: Silver, corpus: Corpus, store: Store) -> Run:
    """A run, made or kept: rewards of validation and people's pairs."""
    rows = with_one_voter(known.train, settings.seed)
    held_out = [*known.validation, *(row for voted in known.people.values() for row in voted)]
    prompts = [row.prompt or "" for row in rows]
    return store.run(
        name,
        settings,
        data_digest(rows, held_out),
        lambda: train(name, settings, corpus, rows, held_out, groups=prompts),
    )


def runs(work: Path) -> dict[str, list[Run]]:
    """By objective, a run a seed; missing ones are made."""
    known = silver()
    corpus, store = corpus_of(known, work), Store(work / NAME)
    return swept(
        OBJECTIVES,
        RATES,
        lambda name, settings: one_run(name, settings, known, corpus, store),
        known.validation,
        seeds=SEEDS,
        title=NAME,
    )


def judged(found: Mapping[str, list[Run]], known: Silver, name: str) -> dict[str, Judged]:
    """By objective, predictions on one set of people's pairs; temperatures are from the judges' validation pairs."""
    rows = known.people[name]
    fold = Fold(known.validation, rows, [row.prompt_key for row in rows])
    return {objective: judge([[run] for run in runs_], [fold]) for objective, runs_ in found.items()}
