"""The comparison's figures against hand-made truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurality.stats import brier, ece, l1, nll, pearson
from plurality.stats.paired import Figure, Resampling
from service.bundle.calibrate import Calibrator, sigmoid
from service.experiments.compare import Comparison, Pairs, VersionScores, compare

rewards = st.lists(st.floats(-5, 5, width=32), min_size=12, max_size=12)


def versions(*given: list[float], temperatures: tuple[float, ...] = (1.0, 2.0)) -> list[VersionScores]:
    return [
        VersionScores(f"m@{place}", np.array(values), Calibrator(temperature))
        for place, (values, temperature) in enumerate(zip(given, temperatures, strict=True))
    ]


def pairs(count: int, *, label: list[float] | None = None, share: list[float] | None = None) -> Pairs:
    nothing = np.full(count, np.nan)
    places = np.arange(0, 2 * count, 2)
    return Pairs(
        places,
        places + 1,
        nothing if label is None else np.array(label),
        nothing if share is None else np.array(share),
        [None] * count,
    )


def prompts(count: int) -> list[str]:
    return [str(place // 2) for place in range(2 * count)]


def compared(given: list[VersionScores], of: Pairs, *, draws: int) -> Comparison:
    """With intervals over prompts of two items each."""
    return compare(given, prompts(len(of.label)), of, resampling=Resampling(draws))


def run(first: list[float], second: list[float], given: Pairs) -> Comparison:
    return compared(versions(first, second), given, draws=50)


def test_by_hand() -> None:
    """Two pairs of three are ordered alike; rewards, probabilities and figures are what the formulas say."""
    one, two = [1.0, 0.0, 0.0, 1.0, 2.0, 0.0], [2.0, 0.0, 1.0, 0.0, 5.0, 1.0]
    found = run(one, two, pairs(3, label=[1, 1, 0], share=[0.9, 0.6, 0.2]))
    [difference] = found.differences
    assert (difference.flips, difference.pairs, difference.items, found.items_left_out) == (1, 3, 6, 0)
    assert difference.agreement is not None
    assert difference.agreement.estimate == pytest.approx(2 / 3)
    assert difference.reward_shift is not None
    assert difference.reward_shift.estimate == pytest.approx(np.mean(np.array(two) / 2 - np.array(one)))
    p = np.array([sigmoid(1.0), sigmoid(-1.0), sigmoid(2.0)])
    q = np.array([sigmoid(1.0), sigmoid(0.5), sigmoid(2.0)])
    assert difference.probability_shift is not None
    assert difference.probability_shift.estimate == pytest.approx(np.mean(np.abs(p - q)))
    label, share = np.array([1.0, 1.0, 0.0]), np.array([0.9, 0.6, 0.2])
    for place, values in enumerate((p, q)):
        figures = {name: figure.estimate for name, figure in found.versions[place].figures.items()}
        assert figures == pytest.approx({
            "accuracy": [1 / 3, 2 / 3][place],
            "ece": ece(values, label),
            "brier": brier(values, label),
            "nll": nll(values, label),
            "pearson": pearson(values, share),
            "l1": l1(values, share),
        })  # fmt: skip
    assert difference.differences["accuracy"].estimate == pytest.approx(1 / 3)
    assert difference.differences["nll"].estimate == pytest.approx(nll(q, label) - nll(p, label))


@settings(max_examples=10)
@given(rewards, rewards)
def test_swapping_the_versions_mirrors_the_differences(first: list[float], second: list[float]) -> None:
    """Differences change their sign, agreement and flips stay; everything is finite and within its interval's side."""
    given = pairs(6, label=[1, 0, 1, 1, 0, 0])
    there = compared(versions(first, second, temperatures=(1, 1)), given, draws=20).differences[0]
    back = compared(versions(second, first, temperatures=(1, 1)), given, draws=20).differences[0]
    assert there.flips == back.flips
    assert there.agreement == back.agreement
    assert there.differences.keys() == back.differences.keys()
    for name, figure in there.differences.items():
        other = back.differences[name].estimate
        assert other is not None
        assert figure.estimate == pytest.approx(-other)
        assert figure.low is not None
        assert back.differences[name].high == pytest.approx(-figure.low)


@settings(max_examples=10)
@given(rewards)
def test_a_version_is_like_itself(values: list[float]) -> None:
    """No flips, full agreement, every difference and its interval zero."""
    [found] = compared(versions(values, values, temperatures=(1, 1)), pairs(6, label=[1, 0] * 3), draws=20).differences
    assert found.flips == 0
    assert found.agreement is not None
    assert found.agreement.estimate == 1
    assert all((figure.estimate, figure.low, figure.high) == (0, 0, 0) for figure in found.differences.values())


def test_intervals_are_paired_and_cover() -> None:
    """Of 20 draws of equal versions, the paired interval of the Brier difference covers 0 in about 19."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(20):
        truth = rng.normal(size=120)
        truth[1::2] = 0.0
        noisy = [list(truth + rng.normal(scale=0.5, size=120)) for _ in range(2)]
        label = [float(rng.random() < sigmoid(value)) for value in truth[::2]]
        found = compared(versions(*noisy, temperatures=(1, 1)), pairs(60, label=label), draws=100)
        figure = found.differences[0].differences["brier"]
        assert figure.low is not None
        assert figure.high is not None
        covered += figure.low <= 0 <= figure.high
    assert covered >= 16


def test_what_is_not_known_is_left_out() -> None:
    """Items without a reward, pairs without labels, a single prompt: fewer figures, a reason, never NaN."""
    one, two = [1.0, 0.0, np.nan, 1.0, 2.0, 0.5], [2.0, 0.0, 1.0, 0.0, 5.0, 1.0]
    found = run(one, two, pairs(3))
    assert (found.items_left_out, found.differences[0].pairs, found.differences[0].items) == (1, 2, 5)
    assert found.versions[0].figures == {}
    assert found.versions[0].ece_noise_floor is None
    single = compared(versions([1.0, 0.0], [0.0, 1.0]), pairs(1, label=[1]), draws=20)
    assert single.differences[0].agreement is not None
    assert single.differences[0].agreement.low is None
    assert "single cluster" in (single.differences[0].agreement.note or "")
    empty = compared(versions([], []), pairs(0), draws=20)
    assert empty.differences[0].agreement is None
    constant = run([1.0] * 6, two, pairs(3))
    assert constant.differences[0].rank_correlation is None


@settings(max_examples=10)
@given(rewards, rewards)
def test_values_without_intervals(first: list[float], second: list[float]) -> None:
    """Without resampling: the same values, no interval, no reason for its absence and no noise floor."""
    given = pairs(6, label=[1, 0, 1, 1, 0, 0], share=[0.9, 0.1, 0.5, 0.6, 0.3, 0.2])
    with_intervals, values = run(first, second, given), compare(versions(first, second), prompts(6), given)
    assert [version.ece_noise_floor for version in values.versions] == [None, None]
    assert _estimates(values) == _estimates(with_intervals)
    assert all((one.low, one.high, one.note) == (None, None, None) for one in _figures(values))


def _figures(found: Comparison) -> list[Figure]:
    [difference] = found.differences
    named = (
        difference.agreement, difference.rank_correlation, difference.reward_shift, difference.probability_shift,
    )  # fmt: skip
    by_version = [figure for version in found.versions for figure in version.figures.values()]
    return [*by_version, *difference.differences.values(), *(figure for figure in named if figure)]


def _estimates(found: Comparison) -> list[float | None]:
    return [figure.estimate for figure in _figures(found)]
