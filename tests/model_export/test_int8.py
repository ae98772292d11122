"""int8: published only through its gate, and exactly repeatable once it is."""

from contextlib import closing
from pathlib import Path

import pytest

from model_export.checkpoint import open_checkpoint
from model_export.pipeline import Target, export
from model_export.sample_texts import sample_items
from model_export.verify import INT8_SPEARMAN
from service.bundle.open import load_model, score_now
from service.bundle.store import version_directory
from tests.tiny import build_tiny_checkpoint

pytestmark = pytest.mark.export


@pytest.mark.parametrize(("kind", "gate"), [("bert", INT8_SPEARMAN), ("modernbert", 0.9)])
def test_int8_runs_alone_and_exactly(kind: str, gate: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One text a run gives the very same reward in any order, on any number of threads.

    Random ModernBERT weights need a wider gate.
    """
    monkeypatch.setattr("model_export.verify.INT8_SPEARMAN", gate)
    checkpoint = open_checkpoint(str(build_tiny_checkpoint(kind, tmp_path / "model")))
    published = export(checkpoint, Target(tmp_path / "store", "m"), say=lambda _: None)
    assert [entry.aliases for entry in published] == [("stable",), ("int8",)]
    assert published[1].manifest.precision == "int8"
    assert published[1].manifest.fidelity.spearman >= gate
    directory = version_directory(tmp_path / "store", "m", published[1].digest)
    items = sample_items(20)
    model, wide = load_model(directory, threads=1), load_model(directory, threads=4)
    with closing(model.backend), closing(wide.backend):
        forward, backward = score_now(model, items), score_now(model, items[::-1])
        assert forward == backward[::-1]
        assert forward == score_now(wide, items)
