"""Which pairs make a step. Depends on the seed alone: every objective sees the same pairs in the same order."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Batches:
    """Steps over B pairs."""

    seed: int
    size: int
    """Pairs of a step, about; 0: all pairs of one group."""
    members: tuple[Places, ...]
    """Pairs that stay together, because they share texts; of balanced steps, the pairs of each source."""
    balanced: bool = False
    """As many pairs of each source in every step."""

    @classmethod
    def of(
        cls, kept: Sequence[int], sources: Sequence[str], groups: Sequence[str] | None, *, seed: int, size: int
    ) -> "Batches":
        """Steps over the pairs that are kept.

        Args:
            kept: places of pairs to train on.
            sources: of each pair; without groups, steps hold equally many pairs of each.
            groups: of each pair, what shares texts: a debate's side, a prompt.
        """
        by: dict[str, list[int]] = defaultdict(list)
        for place in kept:
            by[groups[place] if groups is not None else sources[place]].append(place)
        members = tuple(np.array(found, dtype=np.intp) for found in by.values())
        return cls(seed, size, members, balanced=groups is None)

    def epoch(self, number: int) -> Iterator[Places]:
        """One epoch's steps, in a random order."""
        yield from self._even(number) if self.balanced else self._packed(number)

    def _packed(self, number: int) -> Iterator[Places]:
        """Whole groups, until the step is large enough."""
        waiting: list[Places] = []
        for i in np.random.default_rng([self.seed, number]).permutation(len(self.members)):
            waiting.append(self.members[i])
            if sum(map(len, waiting)) >= self.size:
                yield np.concatenate(waiting)
                waiting = []
        if waiting:
            yield np.concatenate(waiting)

    def _even(self, number: int) -> Iterator[Places]:
        rng = np.random.default_rng([self.seed, number])
        each = self.size // len(self.members)
        steps = -(-max(map(len, self.members)) // each)
        orders = []
        for found in self.members:
            rounds = -(-each * steps // len(found))
            orders.append(np.concatenate([rng.permutation(found) for _ in range(rounds)])[: each * steps])
        for step in range(steps):
            yield np.concatenate([order[step * each : (step + 1) * each] for order in orders])
