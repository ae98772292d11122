"""The trained part of a BERT encoder with a reward head, on top of cached activations.

The same function as the whole model of transformers (a test compares them), for less work: lower layers are not run,
and the last layer is computed for the first token alone, the only one that the pooler reads.
N texts, T tokens, D features, H heads of E features.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn


class Top(nn.Module):
    """Upper layers, pooler and head.

    Args:
        model: BertForSequenceClassification with one label; its parts are used, not copied.
        frozen: lowest layers that are not here.
        layers: layers in all; what lies above is cut away.
    """

    def __init__(self, model: Any, *, frozen: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(model.bert.encoder.layer[frozen:layers])
        self.pooler, self.dropout, self.head = model.bert.pooler, model.dropout, model.classifier

    def features(self, hidden_NTD: Tensor, mask_NT: Tensor) -> Tensor:
        """What feeds the head, shape [N, D]."""
        for layer in self.layers[:-1]:
            hidden_NTD = run_layer(layer, hidden_NTD, mask_NT)
        first_ND = run_first(self.layers[-1], hidden_NTD, mask_NT)
        pooled_ND: Tensor = self.dropout(self.pooler(first_ND[:, None]))
        return pooled_ND


def run_layer(layer: Any, hidden_NTD: Tensor, mask_NT: Tensor) -> Tensor:
    """One encoder layer, shape [N, T, D]."""
    attention = layer.attention.self
    query, key, value = (
        part(hidden_NTD).unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)
        for part in (attention.query, attention.key, attention.value)
    )
    dropout = attention.dropout.p if layer.training else 0.0
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask_NT[:, None, None, :], dropout_p=dropout)
    return _after_attention(layer, mixed.transpose(1, 2).flatten(2), hidden_NTD)


def run_first(layer: Any, hidden_NTD: Tensor, mask_NT: Tensor) -> Tensor:
    """One encoder layer's output at the first token alone, shape [N, D].

    With one query a text, keys and values need not be made for every token: q·(W x_t) = (Wᵀq)·x_t and
    Σ a_t (W x_t) = W Σ a_t x_t. The key's bias adds the same to all scores, so that softmax drops it.
    """
    attention, first_ND = layer.attention.self, hidden_NTD[:, 0]
    heads = attention.num_attention_heads
    query_NHE, key_HED, value_HED = (
        attention.query(first_ND).unflatten(-1, (heads, -1)),
        attention.key.weight.unflatten(0, (heads, -1)),
        attention.value.weight.unflatten(0, (heads, -1)),
    )
    asked_NHD = torch.einsum("nhe,hed->nhd", query_NHE, key_HED)
    score_NHT = asked_NHD @ hidden_NTD.transpose(1, 2) / query_NHE.shape[-1] ** 0.5
    weight_NHT = attention.dropout(score_NHT.masked_fill(~mask_NT[:, None], -torch.inf).softmax(dim=-1))
    value_NHE = torch.einsum("nhd,hed->nhe", weight_NHT @ hidden_NTD, value_HED)
    value_NHE = value_NHE + weight_NHT.sum(dim=-1, keepdim=True) * attention.value.bias.unflatten(0, (heads, -1))
    return _after_attention(layer, value_NHE.flatten(1), first_ND)


def _after_attention(layer: Any, joined: Tensor, asking: Tensor) -> Tensor:
    attended = layer.attention.output(joined, asking)
    out: Tensor = layer.output(layer.intermediate(attended), attended)
    return out


def padded(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Texts' activations as one batch [N, T, D], and where there is a token [N, T]."""
    hidden_NTD = nn.utils.rnn.pad_sequence(list(parts), batch_first=True)
    length_N = torch.tensor([len(part) for part in parts])
    return hidden_NTD, torch.arange(hidden_NTD.shape[1])[None, :] < length_N[:, None]
