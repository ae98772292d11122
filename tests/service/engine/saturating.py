"""x86 without VNNI, in numpy: neighboring products are added in 16 bits that saturate, as `vpmaddubsw` does."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from service.engine.integer import Int8


class SaturatingProduct:
    """Stands in for the session that `service.engine.integer` opens."""

    def __init__(self, weights_KN: Int8) -> None:
        self._weights_KN = weights_KN.astype(np.int64)

    def run(self, _outputs: None, feed: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        values_MK = feed["x"].astype(np.int64)
        zero = -int(values_MK.min())
        products_MKN = (values_MK + zero)[:, :, None] * self._weights_KN
        odd = products_MKN.shape[1] % 2
        pairs = np.pad(products_MKN, ((0, 0), (0, odd), (0, 0))).reshape(len(values_MK), -1, 2, products_MKN.shape[2])
        sums_MN = pairs.sum(axis=2).clip(-(2**15), 2**15 - 1).sum(axis=1)
        return [(sums_MN - zero * self._weights_KN.sum(axis=0)).astype(np.float32)]
