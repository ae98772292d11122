"""MORE's head gradients against autograd, on real heads, in float64; what is no linear head is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from model_export.checkpoint import Checkpoint, open_checkpoint
from plurality.core.rows import PreferenceRow
from plurality.training.dataset import Collator, PairDataset
from plurality.training.errors import TrainingError
from plurality.training.head import HeadInputs, find_head
from plurality.training.more import GAP, LAMBDA, LOSS, NORM, More, head_gradient_sums
from plurality.training.objectives import PairTargets, batch_losses
from plurality.training.targets import ObjectiveSpec
from tests.plurality.training.data import planted
from tests.tiny import KINDS, build_tiny_checkpoint

SOURCES = ("first", "second", "third")


def random_targets(count: int, sources: int, seed: int) -> PairTargets:
    """Soft targets, margins of both signs and weights, every source at least once."""
    draw = torch.Generator().manual_seed(seed)
    unit = torch.rand(4, count, generator=draw, dtype=torch.float64)
    source_B = torch.arange(count) % sources
    return PairTargets(unit[0].round(), unit[1], 2 * unit[2] - 1, 3 * unit[3], source_B.double())


def by_autograd(weight_D: Tensor, reward_2B: Tensor, targets: PairTargets, sources: int, centering: float) -> Tensor:
    """∂(Σ of each source's losses)/∂weight, one backward a source."""
    loss_B = batch_losses(reward_2B, targets, centering=centering)
    rows = [
        torch.autograd.grad(loss_B[targets.source_B == k].sum(), weight_D, retain_graph=True)[0] for k in range(sources)
    ]
    return torch.stack([gradient.reshape(-1) for gradient in rows])


@hypothesis_settings(max_examples=60)
@given(st.integers(1, 4), st.integers(4, 12), st.integers(1, 9), st.integers(0, 999), st.sampled_from([0.0, 0.01, 1.0]))
def test_closed_form(sources: int, pairs: int, width: int, seed: int, centering: float) -> None:
    """g_k is autograd's, to 1e-12, whatever target, margin, weight and centering."""
    feature_2BD = torch.randn(2 * pairs, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    weight_D = torch.linspace(-1, 1, width, dtype=torch.float64, requires_grad=True)
    targets = random_targets(pairs, sources, seed)
    reward_2B = feature_2BD @ weight_D
    found = head_gradient_sums(feature_2BD, reward_2B.detach(), targets, sources, centering=centering)
    torch.testing.assert_close(found, by_autograd(weight_D, reward_2B, targets, sources, centering), atol=1e-12, rtol=0)


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(build_tiny_checkpoint(request.param, tmp_path_factory.mktemp(request.param))))


def batch_of(checkpoint: Checkpoint, count: int = 9) -> dict[str, Tensor]:
    """A padded batch of pairs of three sources."""
    rows = [
        PreferenceRow.model_validate(raw | {"source": SOURCES[index % 3]})
        for index, raw in enumerate(planted(count, votes=True))
    ]
    pairs = PairDataset(rows, checkpoint.tokenizer, ObjectiveSpec("margin"), source="rows")
    return Collator(checkpoint.format, pairs.sources)(pairs.examples)


@pytest.mark.parametrize("detach", [False, True])
def test_real_heads(checkpoint: Checkpoint, *, detach: bool) -> None:
    """On each architecture, with and without gradients, what the hook saw gives autograd's gradient of the head."""
    model = checkpoint.model.double()
    head, batch = find_head(model), batch_of(checkpoint)
    targets = PairTargets.of(batch.pop("labels").double())
    with HeadInputs(head, detach=detach) as inputs:
        logit_2B1 = model(**batch).logits
        feature_2BD = inputs.of(logit_2B1)
    found = head_gradient_sums(feature_2BD, logit_2B1.detach().squeeze(-1), targets, 3, centering=0.1)
    reward_2B = model(**batch).logits.squeeze(-1)
    expected = by_autograd(head.weight, reward_2B, targets, 3, 0.1)
    assert float(expected.abs().max()) > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


def test_hook_leaves_nothing(checkpoint: Checkpoint) -> None:
    """Afterwards gradients flow as before, the head has no hook, and its rewards are the same bits."""
    model, batch = checkpoint.model, batch_of(checkpoint)
    batch.pop("labels")
    plain = model(**batch).logits
    for detach in (True, False):
        with HeadInputs(find_head(model), detach=detach) as inputs:
            watched = model(**batch).logits
            inputs.of(watched)
        assert torch.is_grad_enabled()
        assert torch.equal(watched, plain)
    assert not find_head(model)._forward_hooks
    watched.sum().backward()
    assert any(parameter.grad is not None for parameter in model.base_model.parameters())
    model.zero_grad()


class Classifier(nn.Module):
    """A model of features alone, with a head of one's own."""

    def __init__(self, head: nn.Module, *, after: nn.Module | None = None) -> None:
        super().__init__()
        self.base_model, self.head, self.after = nn.Linear(4, 4), head, after or nn.Identity()

    def forward(self, feature: Tensor) -> Any:
        return self.after(self.head(self.base_model(feature)))


def test_head_is_not_linear() -> None:
    """A head that is no linear layer, is two, or has two outputs, is refused with its class and what is missing."""
    for head, many in (
        (nn.Bilinear(4, 4, 1), "none"), (nn.Linear(4, 2), "none"),
        (nn.ModuleList([nn.Linear(4, 1), nn.Linear(4, 1)]), "2"),
    ):  # fmt: skip
        with pytest.raises(TrainingError, match=f"ends in one linear layer with one output; Classifier has {many}"):
            find_head(Classifier(head))
    assert find_head(Classifier(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), last := nn.Linear(4, 1)))) is last


@pytest.mark.parametrize("after", [nn.Tanh(), nn.Sigmoid(), nn.Softplus()])
def test_something_after_the_head(after: nn.Module) -> None:
    """Where a curve follows the last linear layer the closed form would be wrong: refused at the first step."""
    torch.manual_seed(0)
    model = Classifier(nn.Linear(4, 1), after=after)
    with HeadInputs(find_head(model), detach=False) as inputs:
        logits = model(torch.randn(6, 4))
        with pytest.raises(TrainingError, match="something follows the last linear layer"):
            inputs.of(logits)


def step(more: More, feature_2BD: Tensor, targets: PairTargets, parts: int) -> None:
    """One optimizer step in so many micro-batches of interleaved pairs."""
    count = len(targets.source_B)
    more.begin()
    for part in range(parts):
        chosen = torch.arange(part, count, parts)
        with HeadInputs(more.head, detach=True) as inputs:
            logits = more.head(torch.cat([feature_2BD[chosen], feature_2BD[count + chosen]]))
            more.observe(inputs, logits, PairTargets(*(column[chosen] for column in targets)))
    more.solve()


def weights(more: More) -> list[float]:
    return [more.entry[LAMBDA + name] for name in more.sources]


def test_whole_step_counts() -> None:
    """λ is that of all pairs of a step, however they are spread over micro-batches, even where a source is absent."""
    head = nn.Linear(5, 1).double()
    more, targets = More(head, SOURCES), random_targets(12, 3, seed=1)
    feature_2BD = torch.randn(24, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = []
    for parts in (1, 2, 3, 12):
        step(more, feature_2BD, targets, parts)
        found.append(more.entry)
    assert sum(weights(more)) == pytest.approx(1, abs=1e-12)
    assert more.entry[GAP] <= 1e-8
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5, abs=1e-9)
    step(more, feature_2BD, targets, 1)
    with torch.no_grad():
        loss_B = batch_losses(head(feature_2BD).squeeze(-1), targets)
    means = [float(loss_B[targets.source_B == k].mean()) for k in range(3)]
    assert [more.entry[LOSS + name] for name in SOURCES] == pytest.approx(means, rel=1e-5)
    total = float((more.share(targets.source_B) * loss_B).sum())
    assert total == pytest.approx(float(np.dot(weights(more), means)), rel=1e-5)


def test_orthogonal_sources() -> None:
    """Sources that move different weights of the head get λ_k ∝ 1/‖g_k‖²: the loud one is turned down."""
    head = nn.Linear(3, 1, bias=False).double()
    nn.init.zeros_(head.weight)
    loudness = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    feature_2BD = torch.cat([torch.diag(loudness), torch.zeros(3, 3, dtype=torch.float64)])
    ones, zeros = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    more = More(head, SOURCES)
    step(more, feature_2BD, PairTargets(ones, ones, zeros, ones, torch.arange(3.0)), 1)
    expected = (1 / loudness**2) / (1 / loudness**2).sum()
    assert weights(more) == pytest.approx(expected.tolist(), abs=1e-12)
    quietest = 0.5 * float(loudness.min())
    assert more.entry[NORM] <= quietest


def test_learned_source_takes_all() -> None:
    """A source whose gradient is 0 takes all the weight, which would end training; the floor leaves the others ε/K."""
    head = nn.Linear(2, 1).double()
    feature_2BD = torch.tensor([[1.0, 2.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    ones, zeros = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    targets = PairTargets(ones, ones, zeros, ones, torch.arange(2.0))
    plain, floored = More(head, SOURCES[:2]), More(head, SOURCES[:2], floor=0.2)
    for more in (plain, floored):
        step(more, feature_2BD, targets, 2)
    assert weights(plain) == [0.0, 1.0]
    assert weights(floored) == pytest.approx([0.1, 0.9])
    assert plain.entry[NORM] == 0.0
    assert floored.entry[NORM] > 0.0


def test_diverged() -> None:
    """Gradients that are no numbers end the run with the cure, before they reach the weights."""
    more = More(nn.Linear(2, 1), SOURCES[:1])
    one = torch.ones(1)
    with pytest.raises(TrainingError, match="training has diverged, lower the learning rate"):
        step(more, torch.full((2, 2), torch.inf), PairTargets(one, one, one, one, torch.zeros(1)), 1)
