"""The studies' pure parts: who labels, what is held out, what is compared with what."""

from collections import Counter
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from plurality.core.rows import PreferenceRow, Votes
from plurality.stats import UndefinedStatistic, l1, paired_cluster_bootstrap, pearson
from research.preferences import data
from research.preferences.calibration import half
from research.preferences.corpus import text_id, texts_of
from research.preferences.figures import Fold as JudgedFold
from research.preferences.figures import Judged, Resampled, auc, contested_auc, disagreement, judge, vote_floor
from research.preferences.fit import Settings
from research.preferences.folds import FOLDS, parts
from research.preferences.powerlaw import fit_power_law
from research.preferences.selection import gains, utilities, within_folds
from research.preferences.silver import candidate_pairs, compared
from research.preferences.store import Run, as_json
from research.preferences.sweep import chosen_rate
from research.preferences.votes import majority_label, one_voter, sample, with_one_voter


def row(number: int, votes: Votes, a: str = "yes", b: str = "no", prompt: str = "Why?") -> PreferenceRow:
    return PreferenceRow(
        id=f"s/{number}", source="s", prompt=prompt, response_a=a, response_b=b, label=votes.fraction_a, votes=votes
    )


# --- labels


def test_margin_and_share_never_hold_the_labeling_vote() -> None:
    for a, b, tie in product(range(4), repeat=3):
        if a + b + tie == 0:
            continue
        drawn = one_voter(row(0, Votes(a=a, b=b, tie=tie)), seed=0)
        if a + b == 0 or a + b + tie < 2:
            assert drawn is None, "nobody decided, or nobody else voted"
            continue
        assert drawn is not None
        assert drawn.votes is not None
        assert drawn.label in {0.0, 1.0}
        left = Votes(a=a - int(drawn.label), b=b - int(1 - drawn.label), tie=tie)
        assert drawn.votes == left
        assert drawn.soft_label == left.fraction_a


def test_the_label_is_drawn_from_decided_votes_in_their_proportion() -> None:
    rows = [row(i, Votes(a=1, b=3, tie=1)) for i in range(4000)]
    labels = [drawn.label for drawn in with_one_voter(rows, seed=3)]
    assert len(labels) == 4000
    assert np.mean(labels) == pytest.approx(0.25, abs=0.03)
    assert labels != [drawn.label for drawn in with_one_voter(rows, seed=4)]


def test_equal_votes_count_one_half() -> None:
    assert row(0, Votes(a=2, b=1, tie=2)).preference == pytest.approx(0.6)
    assert majority_label(row(0, Votes(a=2, b=1, tie=2))).label == 1.0
    assert majority_label(row(0, Votes(a=1, b=1, tie=2))).label == 0.5


def test_a_larger_sample_holds_the_smaller_one() -> None:
    rows = [row(i, Votes(a=1, b=1)) for i in range(100)]
    small, large = sample(rows, 10, 0), sample(rows, 40, 0)
    assert len(small) == 10
    assert {one.id for one in small} < {one.id for one in large}
    assert [one.id for one in large] == [one.id for one in rows if one in large], "in their order"


# --- folds


def test_no_debate_is_on_two_sides_of_a_split_and_each_is_held_out_once() -> None:
    rows = [row(i, Votes(a=1, b=1)) for i in range(160)]
    debate = {one.id: f"debate {i % 16}" for i, one in enumerate(rows)}
    held_out: Counter[str] = Counter()
    for fold in range(FOLDS):
        part = parts(rows, debate, fold)
        groups = [{debate[one.id] for one in rows_} for rows_ in (part.train, part.validation, part.test)]
        assert all(first.isdisjoint(second) for first, second in combinations(groups, 2))
        assert sum(map(len, (part.train, part.validation, part.test))) == len(rows)
        held_out.update(groups[2])
    assert held_out == Counter({f"debate {i}": 1 for i in range(16)})


def test_halves_are_both_used() -> None:
    assert {half(f"prompt {i}") for i in range(20)} == {0, 1}


# --- judging

_FIRST, _SECOND = slice(0, 20), slice(20, 40)


def made(probabilities: list[list[float]], fraction: list[float], clusters: list[str]) -> Judged:
    return Judged(np.array(probabilities), np.array(probabilities), np.array(fraction), clusters)


def test_paired_intervals_are_those_of_the_library() -> None:
    """One pass over each model gives what `paired_cluster_bootstrap` gives for the two."""
    rng = np.random.default_rng(0)
    fraction, clusters = rng.random(60), [f"c{i % 8}" for i in range(60)]
    models = [np.clip(fraction + noise * rng.normal(size=60), 0, 1) for noise in (0.1, 0.3)]
    first, second = (made([model.tolist()], fraction.tolist(), clusters) for model in models)
    ours = Resampled(first, l1).minus(Resampled(second, l1))
    theirs = paired_cluster_bootstrap(
        lambda rows: l1(models[0][rows], fraction[rows]),
        lambda rows: l1(models[1][rows], fraction[rows]),
        clusters,
        draws=400,
    )
    assert (ours.estimate, ours.low, ours.high) == pytest.approx((theirs.estimate, theirs.low, theirs.high))
    assert ours.high < 0


def test_repeats_are_averaged_as_statistics_not_as_predictions() -> None:
    fraction, clusters = [0.0, 1.0, 0.0, 1.0], ["a", "a", "b", "b"]
    judged = made([[0, 1, 0, 1], [1, 0, 1, 0]], fraction, clusters)
    assert Resampled(judged, pearson).interval.estimate == pytest.approx(0.0)
    assert Resampled(judged, l1).interval.estimate == pytest.approx(0.5)


def test_every_run_is_judged_on_its_own_fold_after_its_own_temperature() -> None:
    pairs = [row(i, Votes(a=1 + i % 3, b=2), a=f"a{i}", b=f"b{i}") for i in range(80)]

    def run(scale: float) -> Run:
        reward: dict[str, float] = {}
        for one in pairs:
            a, b = map(text_id, texts_of(one))
            reward |= {a: scale * (one.preference - 0.4), b: 0.0}
        return Run("r", {}, reward, 0.0)

    folds = [JudgedFold(pairs[:40], pairs[40:60], ["x"] * 20), JudgedFold(pairs[:40], pairs[60:], ["y"] * 20)]
    judged = judge([[run(1.0), run(10.0)]], folds)
    assert judged.probability_RN.shape == (1, 40)
    assert judged.raw_RN[0, 20:].std() > 2 * judged.raw_RN[0, :20].std(), "ten times the reward"
    seen = [dict(zip(judged.fraction_N[at], judged.probability_RN[0, at], strict=True)) for at in (_FIRST, _SECOND)]
    assert seen[0] == pytest.approx(seen[1], abs=1e-4), "its own temperature takes the scale out"
    assert judged.clusters == ["x"] * 20 + ["y"] * 20


def test_auc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(1)
    score, positive = rng.integers(0, 6, 40) / 5, rng.random(40) < 0.4
    wins = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    assert auc(score, positive) == pytest.approx(np.mean(wins))
    with pytest.raises(UndefinedStatistic, match="one kind"):
        auc(score, np.ones(40, dtype=bool))


def test_disagreement_peaks_where_people_split() -> None:
    assert disagreement(np.array([0.0, 0.5, 0.75, 1.0])) == pytest.approx([0.0, 1.0, 0.5, 0.0])
    assert contested_auc(np.array([0.5, 0.9, 0.1]), np.array([0.6, 1.0, 0.0])) == 1.0


def test_few_votes_have_a_floor_that_many_do_not() -> None:
    judged = made([np.linspace(0.05, 0.95, 200).tolist()], [0.5] * 200, ["c"] * 200)
    few, many = (vote_floor(judged, np.full(200, votes))[0] for votes in (3, 300))
    assert few > 3 * many > 0


def test_a_learning_rate_is_chosen_by_validation_after_a_temperature() -> None:
    """A rate whose rewards are right but ten times too large beats one whose rewards are noise."""
    rng = np.random.default_rng(0)
    pairs = [row(i, Votes(a=int(rng.integers(1, 5)), b=2), a=f"a{i}", b=f"b{i}") for i in range(60)]

    def one(_: str, settings: Settings) -> Run:
        reward: dict[str, float] = {}
        for pair in pairs:
            a, b = map(text_id, texts_of(pair))
            good = 10 * (pair.preference - 0.5)
            reward |= {a: good if settings.learning_rate == 2e-3 else float(rng.normal()) + 0.1, b: 0.0}
        return Run("r", as_json(settings), reward, 0.0)

    assert chosen_rate("bt", Settings(), (1e-3, 2e-3), one, pairs) == 2e-3


# --- best of n


def test_gain_of_best_of_n_is_that_of_all_subsets() -> None:
    rng = np.random.default_rng(2)
    reward, utility = rng.normal(size=7), rng.random(7)
    for n in (2, 3, 4):
        chosen = [utility[max(group, key=lambda i: reward[i])] for group in combinations(range(7), n)]
        best = [max(utility[list(group)]) for group in combinations(range(7), n)]
        expected = (np.mean(chosen) - utility.mean()) / (np.mean(best) - utility.mean())
        assert gains(reward, utility, (n,))[n] == pytest.approx(expected)
    assert gains(utility, utility, (2, 4)) == pytest.approx({2: 1.0, 4: 1.0})


def test_utility_is_the_mean_share_over_all_pairs() -> None:
    rows = [
        row(0, Votes(a=5, b=0), "x", "y"),
        row(1, Votes(a=1, b=3, tie=1), "x", "z"),
        row(2, Votes(a=0, b=5), "x", "y", prompt="Other?"),
    ]
    found = utilities(rows)
    x, y = map(text_id, texts_of(rows[0]))
    assert found["Why?"][x] == pytest.approx((1.0 + 0.3) / 2)
    assert found["Why?"][y] == 0.0
    assert len(found["Other?"]) == 2, "a side of a debate is on its own"


def test_a_fold_of_easy_debates_makes_no_correlation() -> None:
    assert within_folds(np.array([1.0, 3.0, 11.0, 13.0]), [0, 0, 1, 1]) == pytest.approx([-1, 1, -1, 1])


# --- judges


def test_candidates_are_compared_by_judges_who_judged_both() -> None:
    ours, theirs = {"p": 2.0, "q": 1.05, "r": 1.0}, {"p": 1.0, "q": 1.0, "s": 2.0}
    assert compared(ours, theirs) == Votes(a=1, b=0, tie=1)
    assert compared({"p": 1.0}, {"q": 2.0}) is None


def test_the_baseline_is_in_no_pair() -> None:
    def record(answer: str, judge: str, preference: float, part: str = "koala") -> dict[str, object]:
        return {"instruction": "Do it.", "output_1": "base", "output_2": answer, "annotator": judge,
                "preference": preference, "dataset": part}  # fmt: skip

    said = [("x", 2.0, "koala"), ("y", 1.0, "koala"), ("base", 1.5, "koala"), ("z", 2.0, "vicuna"), ("w", 0.0, "koala")]
    loaded = candidate_pairs([record(answer, judge, p, part) for answer, p, part in said for judge in ("j", "k")])
    (pair,) = loaded.rows
    assert {pair.response_a, pair.response_b} == {"x", "y"}
    assert pair.votes is not None
    assert (pair.votes.a if pair.response_a == "x" else pair.votes.b) == 2


# --- curves, data


def test_a_power_law_is_found_again() -> None:
    count = np.array([188.0, 375, 750, 1500, 3000])
    law = fit_power_law(count, 0.55 + 2.0 * count**-0.6)
    assert (law.floor, law.scale, law.exponent) == pytest.approx((0.55, 2.0, 0.6), rel=0.02)
    assert law.at(count) == pytest.approx(0.55 + 2.0 * count**-0.6, abs=1e-4)


def test_without_data_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(data.VARIABLE, raising=False)
    with pytest.raises(data.NoData, match="PREFERENCE_DATA is not set"):
        data.records("ukpconvarg1")
    monkeypatch.setenv(data.VARIABLE, str(tmp_path))
    with pytest.raises(data.NoData, match="no folder ukpconvarg1"):
        data.records("ukpconvarg1")
