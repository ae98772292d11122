"""Opens a bundle as a model that can run: verify, parse, open, check the golden inputs. Blocking.

Serving, `plurality score`, export and verification all load through here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from plurality.core.errors import PluralityError
from service.bundle.formats import ChatFormat, PairFormat
from service.bundle.manifest import Golden, Manifest
from service.bundle.store import VerifiedFiles, read_verified
from service.bundle.tokenize import ItemTokenizer
from service.domain import Device, Encoding, Message, Outcome, Prompt, ScoreItem
from service.engine.backend import Backend, Score, score
from service.engine.integer import check_integer_products
from service.engine.ort import open_session
from service.engine.upstream import Proof, UpstreamBackend
from service.errors import BundleRejected, EngineError

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One version, ready to run. The caller that loads it closes its backend."""

    digest: str
    manifest: Manifest
    tokenizer: ItemTokenizer
    backend: Backend

    @property
    def pad_id(self) -> int:
        """The token id of padding."""
        return self.manifest.input_format.pad_id

    @property
    def score(self) -> Score:
        """Scores a batch in one engine call: `engine.backend.score` with this model's padding and center."""
        return partial(score, self.backend, pad_id=self.pad_id, center=self.manifest.center)


def load_model(directory: Path, *, device: Device = "cpu", threads: int | None = None) -> LoadedModel:
    """Verify and open a version, then check it on its golden inputs.

    Raises:
        BundleRejected: with the reason; nothing stays open.
        ConfigurationError: the device is not there.
    """
    model = open_model(read_verified(directory), device=device, threads=threads)
    try:
        check_golden(model)
    except BaseException:
        model.backend.close()
        raise
    return model


def open_model(files: VerifiedFiles, *, device: Device, threads: int | None) -> LoadedModel:
    """Open tokenizer and session from verified bytes.

    Raises:
        BundleRejected: with the reason; `arithmetic`: this CPU would give an int8 version other rewards.
        ConfigurationError: the device is not there.
    """
    if quantization := files.manifest.integer_products:
        check_integer_products(quantization.largest_pair)
    contents = dict(files.contents)
    files.manifest.file(TOKENIZER_FILE)
    tokenizer = open_tokenizer(contents.pop(TOKENIZER_FILE), files.manifest.input_format)
    if files.manifest.upstream:
        return LoadedModel(files.digest, files.manifest, tokenizer, open_upstream(files.manifest))
    files.manifest.file(MODEL_FILE)
    model = contents.pop(MODEL_FILE)
    backend = open_session(model, external=contents, device=device, threads=threads)
    return LoadedModel(files.digest, files.manifest, tokenizer, backend)


def open_upstream(manifest: Manifest) -> UpstreamBackend:
    """The server that computes the logits of a version that has an upstream; nothing is sent yet."""
    upstream = manifest.upstream
    if upstream is None:
        raise BundleRejected("the version has no upstream server", reason="parse")
    proofs = [Proof(entry.token_ids, entry.reward + manifest.center) for entry in manifest.golden]
    return UpstreamBackend(
        upstream.kind, upstream.url, upstream.model, proofs=proofs, tolerance=manifest.golden_tolerance
    )


def open_tokenizer(tokenizer_json: bytes, input_format: PairFormat | ChatFormat) -> ItemTokenizer:
    """Parse tokenizer.json; raises BundleRejected(reason="parse")."""
    try:
        return ItemTokenizer.from_json(tokenizer_json.decode(), input_format)
    except Exception:  # noqa: BLE001 - tokenizers raises bare Exception
        raise BundleRejected("tokenizer.json cannot be read by tokenizers", reason="parse") from None


def check_golden(model: LoadedModel) -> None:
    """Rescore the golden inputs: ids must be equal, rewards within the manifest's tolerance.

    Raises:
        BundleRejected: reason `selftest`; tokenizer, format and weights do not belong together.
    """
    golden = model.manifest.golden
    items = [golden_item(entry) for entry in golden]
    encoded = model.tokenizer.encode(items)
    for entry, encoding in zip(golden, encoded, strict=True):
        if not isinstance(encoding, Encoding) or encoding.ids != entry.token_ids:
            raise BundleRejected("a golden input gives other token ids: a foreign tokenizer", reason="selftest")
    for entry, outcome in zip(golden, score_now(model, items), strict=True):
        if isinstance(outcome, PluralityError):
            raise BundleRejected(f"a golden input fails: {outcome.message}", reason="selftest")
        difference = abs(outcome.value - entry.reward)
        if difference > model.manifest.golden_tolerance:
            raise BundleRejected(
                f"a golden reward is off by {difference:.3g}, more than {model.manifest.golden_tolerance:.3g}",
                reason="selftest",
            )


def golden_item(entry: Golden) -> ScoreItem:
    """A golden input as an item."""
    prompt: Prompt = (
        entry.prompt
        if isinstance(entry.prompt, str)
        else tuple(Message(turn.role, turn.content) for turn in entry.prompt)
    )
    return ScoreItem(prompt, entry.response)


def score_now(model: LoadedModel, items: Sequence[ScoreItem]) -> list[Outcome]:
    """Score without a scheduler, one text a run: the reference that batching must agree with."""
    outcomes: list[Outcome] = []
    for encoding in model.tokenizer.encode(items):
        if isinstance(encoding, PluralityError):
            outcomes.append(encoding)
            continue
        try:
            outcomes += model.score([encoding])
        except EngineError as error:
            outcomes.append(error)
    return outcomes
