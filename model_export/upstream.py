"""Publishes a version whose logits another server computes: tokenizer and input format from a folder, no weights."""

import importlib.metadata
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import AutoConfig, AutoTokenizer

from model_export.bundle import file_entry, golden_inputs, now, reward_statistics
from model_export.checkpoint import public_name
from model_export.detect_format import detect_format
from model_export.errors import ExportError, UnsupportedModel
from model_export.pipeline import Published
from model_export.publish import next_sequence, write_version
from model_export.sample_texts import sample_items
from service.bundle.formats import PairFormat
from service.bundle.manifest import Fidelity, Manifest, Provenance, Upstream
from service.bundle.open import TOKENIZER_FILE
from service.bundle.pointer import DEFAULT_ALIAS
from service.bundle.pointer_writer import current_version, set_aliases, writer
from service.bundle.tokenize import ItemTokenizer
from service.domain import Encoding, ScoreItem
from service.engine.backend import pad
from service.engine.upstream import UpstreamBackend

_TEXTS = 120
_BATCH = 16
_LEAST_TOLERANCE = 1e-3
"""Of a golden reward, relative to the rewards' standard deviation, or to 1 if that is more."""
_NOISE_FACTOR = 10.0
"""A server's rewards vary with what runs beside a text; the tolerance is so many times the largest difference seen."""


@dataclass(frozen=True, slots=True)
class UpstreamTarget:
    """The store, model name and alias to publish under."""

    store: Path
    name: str
    alias: str = DEFAULT_ALIAS


def import_upstream(
    upstream: Upstream,
    tokenizer_folder: str,
    target: UpstreamTarget,
    *,
    max_length: int | None = None,
    say: Callable[[str], None] = print,
) -> Published:
    """Publish a version in front of a running server, after scoring texts there twice, in different batches.

    Args:
        tokenizer_folder: a directory or hub id with the model's tokenizer and configuration; weights are not read.

    Raises:
        UnsupportedModel: the folder has no fast tokenizer, or the input cannot be sent as token ids.
        ExportError: a reward is no finite number, or the same text gets rewards that differ too much.
        Unavailable, EngineError: the server does not answer, or not with one logit a text.
    """
    tokenizer = _tokenizer(tokenizer_folder, upstream, max_length)
    items = sample_items(_TEXTS)
    encodings = [entry for entry in tokenizer.encode(items) if isinstance(entry, Encoding)]
    if len(encodings) != len(items):
        raise UnsupportedModel("the input format refuses ordinary texts")
    with closing(UpstreamBackend(upstream.kind, upstream.url, upstream.model)) as backend:
        say(f"scoring {len(items)} texts on {upstream.url}, twice")
        logits = _logits(backend, encodings, tokenizer.format.pad_id, _BATCH)
        noise = float(np.abs(_logits(backend, encodings, tokenizer.format.pad_id, 1) - logits).max())
    spread = float(logits.std())
    if noise > 0.1 * spread:
        raise ExportError(
            f"the same text gets rewards that differ by up to {noise:.3g}, while the texts' rewards have a standard "
            f"deviation of {spread:.3g}: this is no reward model that can be relied on"
        )
    say(f"the server's own noise: max |Δ| {noise:.2g}, standard deviation of rewards {spread:.3g}")
    return _publish(upstream, tokenizer_folder, tokenizer, target, _Scored(items, encodings, logits, noise))


@dataclass(frozen=True, slots=True)
class _Scored:
    """The texts of an import and their logits."""

    items: Sequence[ScoreItem]
    encodings: Sequence[Encoding]
    logits: NDArray[np.float64]
    noise: float
    """Largest difference of a text's logit between two batches."""


def _tokenizer(folder: str, upstream: Upstream, max_length: int | None) -> ItemTokenizer:
    try:
        config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder, use_fast=True)
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"cannot open {folder}: {str(error).strip().splitlines()[0][:300]}") from None
    if not getattr(tokenizer, "is_fast", False):
        raise UnsupportedModel(f"{folder} has no fast tokenizer (tokenizer.json); convert it with transformers first")
    form = detect_format(tokenizer, config, max_length=max_length)
    if isinstance(form, PairFormat) and form.token_types and upstream.kind != "plurality":
        raise UnsupportedModel(
            f"this model tells prompt and response apart by token types, which {upstream.kind} takes no ids of; "
            "import its weights: `plurality import MODEL`"
        )
    return ItemTokenizer.from_json(tokenizer.backend_tokenizer.to_str(), form)


def _logits(backend: UpstreamBackend, encodings: Sequence[Encoding], pad_id: int, size: int) -> NDArray[np.float64]:
    found = np.concatenate([
        backend.run(pad(encodings[start : start + size], pad_id)) for start in range(0, len(encodings), size)
    ]).astype(np.float64)  # fmt: skip
    if not np.isfinite(found).all():
        raise ExportError("the server answers a reward that is not a finite number")
    return found


def _publish(
    upstream: Upstream, folder: str, tokenizer: ItemTokenizer, target: UpstreamTarget, scored: _Scored
) -> Published:
    content = tokenizer.tokenizer.to_str().encode()
    statistics = reward_statistics(scored.logits)
    with writer(target.store, target.name) as directory:
        manifest = Manifest(
            model=target.name,
            sequence=next_sequence(directory),
            parent=current_version(directory, DEFAULT_ALIAS),
            created=now(),
            objective="imported",
            precision="upstream",
            upstream=upstream,
            input_format=tokenizer.format,
            center=0.0,
            calibration=None,
            reward_statistics=statistics,
            golden=golden_inputs(scored.items, scored.encodings, scored.logits),
            golden_tolerance=max(_LEAST_TOLERANCE * max(1.0, statistics.std), _NOISE_FACTOR * scored.noise),
            fidelity=Fidelity(
                texts=len(scored.items),
                reference="upstream",
                max_abs_difference=scored.noise,
                spearman=1.0,
                accuracy_change=None,
            ),
            evaluation={},
            provenance=Provenance(
                source=public_name(folder),
                plurality_version=importlib.metadata.version("plurality"),
                training={},
                data_sha256={},
            ),
            files=(file_entry(TOKENIZER_FILE, content),),
        )
        digest = write_version(directory, manifest, {TOKENIZER_FILE: content})
        set_aliases(directory, {target.alias: digest})
    return Published(digest, manifest, (target.alias,))
