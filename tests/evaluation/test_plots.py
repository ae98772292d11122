"""Plots are files that open, of a size to look at."""

import struct
from pathlib import Path

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest

from evaluation.evaluate import Predictions
from evaluation.plots import plot_agreement
from tests.training.data import row
from training.rows import PreferenceRow

ROWS = [
    row(id=str(i), label=float(i % 2), true_preference=i / 19, category="objective" if i % 3 else "subjective")
    for i in range(20)
]


def predictions(seed: int = 0, count: int = len(ROWS)) -> Predictions:
    """Probabilities with both ends of the range among them."""
    margin = np.random.default_rng(seed).normal(size=count)
    probability = 1 / (1 + np.exp(-margin))
    probability[:2] = 0.0, 1.0
    return Predictions(margin, probability, probability**2)


def size(path: Path) -> tuple[int, int]:
    """Width and height from the header."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[-8:-4] == b"IEND"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


@pytest.mark.parametrize("models", [1, 2, 3])
def test_png(tmp_path: Path, models: int) -> None:
    """A valid PNG, one panel a model wide, and something is drawn on it."""
    path = tmp_path / "agreement.png"
    plot_agreement(ROWS, {f"model {i}": predictions(i) for i in range(models)}, path)
    width, height = size(path)
    assert (width, height) == (690 * models, 1260)
    assert path.stat().st_size < 500_000
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[:2] == (height, width)
    assert 0.005 < float((pixels[..., :3].min(-1) < 0.9).mean()) < 0.5


def test_same_input_same_picture(tmp_path: Path) -> None:
    """The same predictions give the same bytes; others give others."""
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        plot_agreement(ROWS, {"model": predictions(seed)}, tmp_path / f"{name}.png")
    contents = [(tmp_path / f"{name}.png").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_settings_left_alone(tmp_path: Path) -> None:
    """A plot leaves matplotlib's own settings as they were."""
    before = dict(mpl.rcParams)
    plot_agreement(ROWS, {"model": predictions()}, tmp_path / "a.png")
    assert dict(mpl.rcParams) == before


def test_incomplete_rows(tmp_path: Path) -> None:
    """Rows without a true preference or a category still make a picture."""
    rows: list[PreferenceRow] = [row(id=str(i)) for i in range(4)]
    plot_agreement(rows, {"model": predictions(count=4)}, tmp_path / "a.png")
    assert size(tmp_path / "a.png") == (690, 1260)
