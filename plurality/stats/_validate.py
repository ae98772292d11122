"""Checks that every statistic makes before it believes its input."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class UndefinedStatistic(ValueError):
    """The statistic has no value for this input; the message says why."""


def vectors(**named: ArrayLike) -> list[Array]:
    """Finite, non-empty vectors of one length; raises ValueError naming the one that is not."""
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in named.items()}
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
    if any(array.ndim != 1 for array in arrays.values()):
        raise ValueError(f"a vector is needed, not {shapes}")
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) > 1:
        raise ValueError(f"length mismatch: {shapes}")
    if lengths == {0}:
        raise ValueError(f"empty: {shapes}")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity")
    return list(arrays.values())


def fractions(**named: ArrayLike) -> list[Array]:
    """As `vectors`, and every value in [0, 1]."""
    arrays = vectors(**named)
    for name, array in zip(named, arrays, strict=True):
        if ((array < 0) | (array > 1)).any():
            raise ValueError(f"{name} has values outside [0, 1]")
    return arrays


def at_least_one(**named: int) -> None:
    """Raises ValueError naming the count below one."""
    for name, count in named.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")
