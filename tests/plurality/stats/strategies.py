"""Inputs that hypothesis draws for the statistics."""

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from plurality.stats._validate import Array

steady = settings(max_examples=40)

shares = st.one_of(
    st.integers(0, 10).map(lambda k: k / 10),  # vote fractions lie exactly on the edges of the bins
    st.integers(0, 1024).map(lambda k: k / 1024),  # 1 − P is exact
    st.floats(0, 1),
)
dyadic = st.integers(0, 1024).map(lambda k: k / 1024)
votes = st.sampled_from([0.0, 1.0])


@st.composite
def pairs(draw: st.DrawFn, share: st.SearchStrategy[float] = shares, size: int = 40) -> tuple[Array, Array]:
    """Probabilities and soft or hard labels, both of shape [N]."""
    rows = draw(st.lists(st.tuples(share, st.one_of(votes, share)), min_size=1, max_size=size))
    both: np.ndarray[Any, np.dtype[np.float64]] = np.array(rows, dtype=np.float64)
    return both[:, 0], both[:, 1]
