"""The order in which pairs are read. It depends on seed and epoch alone, so that a resumed run goes on in it.

Batches hold pairs of like length: padding is most of the cost of short texts on a CPU.
"""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import LengthGroupedSampler

from plurality.training.errors import TrainingError

_GROUP_STEPS = 50
"""Steps whose pairs are sorted by length together, as in LengthGroupedSampler."""


class EpochSampler(LengthGroupedSampler):  # type: ignore[misc]
    """Every pair once an epoch; a resumed run does not see the first epoch's order again."""

    def __init__(self, batch_size: int, *, lengths: list[int], seed: int) -> None:
        super().__init__(batch_size, lengths=lengths, generator=torch.Generator())
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate at the start of every epoch, the resumed one included."""
        self.generator.manual_seed(self.seed + epoch)


class PaddedSampler(Sampler[int]):
    """An order filled up so that each process gets as many full batches: otherwise the last one's others would wait.

    What fills it up is the last pair again, `pairs` added to its index, by which the data set knows that it does not
    count: every pair counts once an epoch.
    """

    def __init__(self, order: EpochSampler, multiple: int, *, pairs: int) -> None:
        """Args:
        order: of all pairs.
        multiple: pairs of a micro-batch, over all processes.
        pairs: how many there are.
        """
        self.order, self.pairs, self.missing = order, pairs, -pairs % multiple

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate at the start of every epoch, the resumed one included."""
        self.order.set_epoch(epoch)

    def __len__(self) -> int:
        return self.pairs + self.missing

    def __iter__(self) -> Iterator[int]:
        index = 0
        for index in self.order:
            yield index
        yield from [index + self.pairs] * self.missing


class BalancedSampler(Sampler[int]):
    """As many pairs of each source in every optimizer step (arXiv 2312.07401, §5: 16 of each of 5).

    An epoch reads as many pairs as the data has, an equal share of each source: of a large one a new random part each
    epoch, a small one more than once. Within an epoch no pair comes twice before all of its source came once.
    """

    def __init__(self, step_pairs: int, *, sources: Sequence[int], lengths: Sequence[int], seed: int) -> None:
        """Args:
            step_pairs: pairs an optimizer step, over all micro-batches.
            sources: index of each pair's source, all of 0 ... K-1.
            lengths: tokens of each pair.

        Raises:
            TrainingError: the step cannot hold equally many pairs of each source.
        """
        kinds = max(sources) + 1
        if step_pairs % kinds:
            below, above = step_pairs // kinds * kinds, -(-step_pairs // kinds) * kinds
            raise TrainingError(
                f"a step of {step_pairs} pairs cannot hold equally many of {kinds} sources; choose a batch size (times "
                f"accumulation) of {f'{below} or ' if below else ''}{above}"
            )
        self.members = [[i for i, source in enumerate(sources) if source == kind] for kind in range(kinds)]
        self.each, self.steps = step_pairs // kinds, -(-len(sources) // step_pairs)
        self.lengths, self.seed = lengths, seed
        self.generator = torch.Generator()
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate at the start of every epoch, the resumed one included."""
        self.generator.manual_seed(self.seed + epoch)

    def __len__(self) -> int:
        return self.steps * self.each * len(self.members)

    def __iter__(self) -> Iterator[int]:
        orders = [self._order(members) for members in self.members]
        for start in range(0, self.steps, _GROUP_STEPS):
            count = min(_GROUP_STEPS, self.steps - start)
            part = slice(start * self.each, (start + count) * self.each)
            grouped = [sorted(order[part], key=self._longest_first) for order in orders]
            for step in self._permutation(count):
                own = slice(step * self.each, (step + 1) * self.each)
                yield from sorted((index for order in grouped for index in order[own]), key=self._longest_first)

    def _order(self, members: list[int]) -> list[int]:
        """One epoch's draw from a source: whole permutations, one after another, cut to its share."""
        wanted = self.steps * self.each
        rounds = -(-wanted // len(members))
        return [members[i] for _ in range(rounds) for i in self._permutation(len(members))][:wanted]

    def _permutation(self, count: int) -> list[int]:
        drawn: list[int] = torch.randperm(count, generator=self.generator).tolist()
        return drawn

    def _longest_first(self, index: int) -> int:
        return -self.lengths[index]
