"""A reward model as torch knows it: a sequence classifier with one label, its fast tokenizer, its input format."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from tqdm import tqdm
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from model_export.detect_format import detect_format, published_pad_id
from model_export.errors import UnsupportedModel
from model_export.pooling import pool_by_mask
from service.bundle.formats import ChatFormat, InputFormat, PairFormat
from service.bundle.tokenize import ItemTokenizer
from service.domain import Encoding, ScoreItem
from service.engine.backend import pad

TRAINING_RECORD = "plurality.json"
"""Written beside the weights by our trainer: input format, objective, configuration, data digests."""
_BATCH = 16
"""Texts a run of the reference."""
FUSED_ATTENTION_TYPES = frozenset({"bert", "roberta", "xlm-roberta", "distilbert", "electra", "camembert"})
"""The ORT graph optimizer fuses attention only as `eager` spells it: 6 of 6 MiniLM layers, against 0 with sdpa."""


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """The training record of a checkpoint of ours; empty for a foreign one."""

    objective: str = "imported"
    training: dict[str, Any] = field(default_factory=dict)
    data_sha256: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened reward model. `model` is in eval mode, float32, on the CPU unless moved."""

    source: str
    model: Any
    tokenizer: ItemTokenizer
    record: TrainingRecord
    new_weights: tuple[str, ...] = ()
    """Names of the weights that the source lacks, started at random: a new head, and a new pooler before it."""

    @property
    def format(self) -> PairFormat | ChatFormat:
        return self.tokenizer.format

    @torch.inference_mode()
    def logits(self, encodings: Sequence[Encoding], *, double: bool = False) -> list[float]:
        """One logit an encoding; what runs together is of one length: the reference has no padding to go wrong.

        Args:
            double: compute in float64. Two float32 programs of one model differ by the roundings of both (seen: 1.3e-5
                on a sharp model, 0.9e-5 of it torch's own); against float64 only the other's rounding shows.
        """
        logits = [0.0] * len(encodings)
        self.model.to(torch.float64 if double else torch.float32)
        try:
            with tqdm(total=len(encodings), desc="torch logits", leave=False) as progress:
                for places in _of_one_length(encodings):
                    found = self._logits([encodings[place] for place in places])
                    for place, logit in zip(places, found, strict=True):
                        logits[place] = logit
                    progress.update(len(places))
        finally:
            self.model.to(torch.float32)
        return logits

    def _logits(self, encodings: Sequence[Encoding]) -> list[float]:
        batch = pad(encodings, self.format.pad_id)
        inputs = {"input_ids": batch.input_ids_BT, "attention_mask": batch.attention_mask_BT}
        if isinstance(self.format, PairFormat) and self.format.token_types:
            inputs["token_type_ids"] = batch.token_type_ids_BT
        tensors = {name: torch.from_numpy(value).to(self.model.device) for name, value in inputs.items()}
        found: list[float] = self.model(**tensors).logits[:, 0].tolist()
        return found

    def encode(self, items: Sequence[ScoreItem]) -> list[Encoding]:
        """Tokenize through the service's own tokenizer; raises the first item's error, if any."""
        encodings: list[Encoding] = []
        for entry in self.tokenizer.encode(items):
            if not isinstance(entry, Encoding):
                raise entry
            encodings.append(entry)
        return encodings


def open_checkpoint(source: str, *, max_length: int | None = None, new_head: bool = False) -> Checkpoint:
    """Open a hub id or a directory.

    Args:
        source: what `AutoModelForSequenceClassification.from_pretrained` takes.
        max_length: tokens per item; by default what the training used, else what the model can, at most 2048.
        new_head: start a reward head on an encoder that has none (training); otherwise the head must be there.

    Raises:
        UnsupportedModel: not one label, no fast tokenizer, no head, or code of its own would have to run.
    """
    try:
        config = AutoConfig.from_pretrained(source)
        hf_tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True)
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"cannot open {source}: {_first_line(error)}") from None
    _check_config(config, source, new_head=new_head)
    if not getattr(hf_tokenizer, "is_fast", False):
        raise UnsupportedModel(f"{source} has no fast tokenizer (tokenizer.json); convert it with transformers first")
    saved = _read_record(source)
    form = _saved_format(saved, max_length) or detect_format(hf_tokenizer, config, max_length=max_length)
    # What is trained here learns with the padding that its format has; a published head is read as it was published.
    by_mask = isinstance(form, ChatFormat) and published_pad_id(config) is None and not new_head
    model, new_weights = _open_model(source, config, form.pad_id, new_head=new_head)
    if by_mask:
        pool_by_mask(model)
    _check_length(model, form.max_length, source)
    tokenizer = ItemTokenizer.from_json(hf_tokenizer.backend_tokenizer.to_str(), form)
    record = TrainingRecord(**{key: saved[key] for key in ("objective", "training", "data_sha256") if key in saved})
    return Checkpoint(public_name(source), model, tokenizer, record, new_weights)


def public_name(source: str) -> str:
    """A hub id as it is, a directory by its last part: a manifest holds no path of anyone's machine."""
    return Path(source).resolve().name if Path(source).exists() else source


def _check_config(config: Any, source: str, *, new_head: bool) -> None:
    if new_head:
        config.num_labels = 1
    elif config.num_labels != 1:
        raise UnsupportedModel(
            f"{source} has {config.num_labels} labels; a reward model has one (AutoModelForSequenceClassification, "
            "num_labels=1). To train a reward model on it, use `plurality train`"
        )


def _open_model(source: str, config: Any, pad_id: int, *, new_head: bool) -> tuple[Any, tuple[str, ...]]:
    extra = {"attn_implementation": "eager"} if config.model_type in FUSED_ATTENTION_TYPES else {}
    config.pad_token_id = pad_id
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, dtype=torch.float32, output_loading_info=True, **extra
        )
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"cannot open {source}: {_first_line(error)}") from None
    if report["missing_keys"] and not new_head:
        raise UnsupportedModel(
            f"{source} has no trained reward head: {', '.join(sorted(report['missing_keys'])[:4])} would be random"
        )
    return model.eval(), tuple(sorted(report["missing_keys"]))


def _check_length(model: Any, max_length: int, source: str) -> None:
    """A learned table of positions ends: longer items would fail one by one in the service."""
    for name, module in model.named_modules():
        if name.endswith(("position_embeddings", ".wpe")) and isinstance(module, torch.nn.Embedding):
            # RoBERTa counts its positions from the padding's on.
            most = module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
            if max_length > most:
                raise UnsupportedModel(f"{source} has {most} positions, max_length {max_length} is more")


def _read_record(source: str) -> dict[str, Any]:
    path = Path(source) / TRAINING_RECORD
    if not path.exists():
        return {}
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def _saved_format(record: dict[str, Any], max_length: int | None) -> PairFormat | ChatFormat | None:
    if "input_format" not in record:
        return None
    adapter: TypeAdapter[PairFormat | ChatFormat] = TypeAdapter(InputFormat)
    form = adapter.validate_json(json.dumps(record["input_format"]))
    return form.model_copy(update={"max_length": max_length}) if max_length else form


def _of_one_length(encodings: Sequence[Encoding]) -> Iterator[list[int]]:
    """Places of encodings that have equally many tokens, at most `_BATCH` at a time."""
    order = sorted(range(len(encodings)), key=lambda place: len(encodings[place].ids))
    for _, group in groupby(order, key=lambda place: len(encodings[place].ids)):
        places = list(group)
        yield from (places[start : start + _BATCH] for start in range(0, len(places), _BATCH))


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
