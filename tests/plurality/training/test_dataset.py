"""Rows to token ids and batches."""

from pathlib import Path

import pytest
import torch

from model_export.checkpoint import Checkpoint, open_checkpoint
from plurality.core.rows import PreferenceRow
from plurality.training.dataset import Collator, PairDataset
from plurality.training.errors import BadRow, DataError, TrainingError
from plurality.training.objectives import PairTargets
from plurality.training.targets import ObjectiveSpec
from service.domain import Encoding
from tests.plurality.training.data import planted, row
from tests.tiny import build_tiny_checkpoint

ROWS = [PreferenceRow.model_validate(raw) for raw in planted(12, votes=True)]
CONTROL = "<|eot_id|>"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(build_tiny_checkpoint("bert", tmp_path_factory.mktemp("bert"))))


@pytest.fixture(scope="module")
def llama_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def llama(llama_path: Path) -> Checkpoint:
    return open_checkpoint(str(llama_path))


@pytest.fixture(params=["bert", "llama"])
def checkpoint(request: pytest.FixtureRequest, bert: Checkpoint, llama: Checkpoint) -> Checkpoint:
    return {"bert": bert, "llama": llama}[request.param]


def dataset(rows: list[PreferenceRow], checkpoint: Checkpoint, spec: ObjectiveSpec = ObjectiveSpec()) -> PairDataset:  # noqa: B008
    return PairDataset(rows, checkpoint.tokenizer, spec, source="rows")


def test_same_ids_as_service(checkpoint: Checkpoint) -> None:
    """Training reads exactly the ids that `ItemTokenizer.encode` gives the service, conversations included."""
    turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"},
             {"role": "user", "content": "three"}]  # fmt: skip
    rows = [*ROWS, row(prompt=None, messages=turns), row(prompt="", response_a="")]
    for source, example in zip(rows, dataset(rows, checkpoint).examples, strict=True):
        a, b = checkpoint.tokenizer.encode(source.pair.items)
        assert (example.a, example.b) == (a, b)


def test_label_and_margin(bert: Checkpoint) -> None:
    """An example keeps its row's label, not the vote fraction; the margin only under the margin objective."""
    plain, margin = dataset(ROWS, bert), dataset(ROWS, bert, ObjectiveSpec("margin"))
    assert [example.label for example in plain.examples] == [entry.label for entry in ROWS]
    assert {example.target.margin for example in plain.examples} == {0.0}
    assert [e.target.margin for e in margin.examples] == pytest.approx([0.4 if entry.label else 0.6 for entry in ROWS])


def test_lengths(checkpoint: Checkpoint) -> None:
    """A pair is as long as its longer side; the data set has one entry a row, in order."""
    pairs = dataset(ROWS, checkpoint)
    assert len(pairs) == len(ROWS)
    assert pairs.lengths == [max(len(pairs[i].a.ids), len(pairs[i].b.ids)) for i in range(len(ROWS))]


def test_layout(checkpoint: Checkpoint) -> None:
    """A batch is all a's, then all b's, with one label and margin a pair."""
    pairs = dataset(ROWS[:5], checkpoint)
    batch = Collator(checkpoint.format)(pairs.examples)
    sides = [example.a for example in pairs.examples] + [example.b for example in pairs.examples]
    assert batch["input_ids"].shape[0] == batch["attention_mask"].shape[0] == 10
    for ids, mask, side in zip(batch["input_ids"], batch["attention_mask"], sides, strict=True):
        assert tuple(ids[mask.bool()].tolist()) == side.ids
    assert batch["labels"].tolist() == [[e.label, e.target.target, 0.0, 1.0, -1.0] for e in pairs.examples]
    assert batch["labels"].dtype == torch.float32


def test_columns(bert: Checkpoint) -> None:
    """Label, target, margin, weight and source come out as they went in, each in its own column."""
    rows = [row(votes={"a": 9, "b": 1}, source="x"), row(label=0.0, votes={"a": 4, "b": 6}, source="y")]
    margin, soft, scaled = (dataset(rows, bert, ObjectiveSpec(name)) for name in ("margin", "soft", "scaled-bt"))
    assert margin.sources == ("x", "y")
    assert margin.source_ids == [0, 1]
    columns = [PairTargets.of(Collator(bert.format, s.sources)(s.examples)["labels"]) for s in (margin, soft, scaled)]
    assert [c.label_B.tolist() for c in columns] == [[1, 0]] * 3
    assert [c.source_B.tolist() for c in columns] == [[0, 1]] * 3
    assert columns[0].margin_B.tolist() == pytest.approx([0.8, 0.2])
    assert columns[1].target_B.tolist() == pytest.approx([0.9, 0.4])
    assert columns[2].weight_B.tolist() == pytest.approx([0.8, 0.2])


def test_contradictions_counted(bert: Checkpoint) -> None:
    """Pairs whose judges reject the label are counted; `drop` leaves them out of training, not out of validation."""
    against = row(votes={"a": 1, "b": 9}, source="only here")
    rows = [row(votes={"a": 9, "b": 1}), against, row(votes={"a": 5, "b": 5})]
    spec = ObjectiveSpec("margin", "drop")
    kept = dataset(rows, bert, spec)
    assert (len(kept), kept.judged, kept.contradicted, kept.dropped) == (2, 3, 1, 1)
    assert kept.sources == ("unknown",)
    validation = PairDataset(rows, bert.tokenizer, spec, source="rows", keep_dropped=True)
    assert [example.target.weight for example in validation.examples] == [1.0, 0.0, 1.0]
    with pytest.raises(TrainingError, match="leaves no pairs"):
        dataset([against], bert, spec)


def test_padding(checkpoint: Checkpoint) -> None:
    """Padding is on the right, masked, of the format's id, and only up to the longest side."""
    pairs = dataset(ROWS, checkpoint)
    batch = Collator(checkpoint.format)(pairs.examples)
    lengths = batch["attention_mask"].sum(1)
    assert batch["input_ids"].shape[1] == int(lengths.max()) == max(pairs.lengths)
    assert len(set(lengths.tolist())) > 1
    for ids, mask, length in zip(batch["input_ids"], batch["attention_mask"], lengths.tolist(), strict=True):
        assert mask.tolist() == [1] * length + [0] * (len(mask) - length)
        assert set(ids[length:].tolist()) <= {checkpoint.format.pad_id}


def test_token_types(bert: Checkpoint, llama: Checkpoint) -> None:
    """Token types go to a model that has them: 1 from the response on; a decoder gets none."""
    example = dataset(ROWS[:1], bert)[0]
    types = Collator(bert.format)([example])["token_type_ids"][0].tolist()
    start, length = example.a.second_segment, len(example.a.ids)
    assert types[:length] == [0] * start + [1] * (length - start)
    assert 0 < start < length
    assert "token_type_ids" not in Collator(llama.format)(dataset(ROWS[:1], llama).examples)


def test_padding_changes_nothing(checkpoint: Checkpoint) -> None:
    """Rewards of a padded batch equal those of each text alone."""
    pairs = dataset(ROWS, checkpoint)
    batch = Collator(checkpoint.format)(pairs.examples)
    batch.pop("labels")
    with torch.inference_mode():
        together = checkpoint.model(**batch).logits[:, 0]
    alone = checkpoint.logits([e.a for e in pairs.examples] + [e.b for e in pairs.examples])
    torch.testing.assert_close(together, torch.tensor(alone), atol=2e-5, rtol=0)


def test_cut_counter(llama_path: Path) -> None:
    """`cut` counts the responses, not the pairs, that had to be cut to max_length; nothing is dropped."""
    short = open_checkpoint(str(llama_path), max_length=40)
    long = "the one that was there " * 30
    rows = [row(response_a=long), row(response_a=long, response_b=long), row(), row(prompt=long)]
    pairs = dataset(rows, short)
    assert pairs.cut == 1 + 2 + 2
    assert max(pairs.lengths) == 40
    assert all(isinstance(side, Encoding) for example in pairs.examples for side in (example.a, example.b))


def test_unreadable_rows_named(llama: Checkpoint) -> None:
    """Every text that the model cannot read is named by its row, and not quoted."""
    rows = [row(), row(response_b=f"secret {CONTROL}"), row(), row(prompt=CONTROL)]
    with pytest.raises(DataError) as caught:
        dataset(rows, llama)
    assert sorted({bad.line for bad in caught.value.rows}) == [2, 4]
    assert all("control token" in bad.cause for bad in caught.value.rows)
    assert "secret" not in str(caught.value)


def test_unreadable_row_named_once(llama: Checkpoint) -> None:
    """A row that fails on both sides is one bad row."""
    with pytest.raises(DataError) as caught:
        dataset([row(prompt=CONTROL)], llama)
    assert [bad.line for bad in caught.value.rows] == [1]


def test_unknown_conversation_named(llama_path: Path) -> None:
    """A text longer than max_length in its template alone is named, not dropped."""
    with pytest.raises(DataError) as caught:
        dataset([row()], open_checkpoint(str(llama_path), max_length=8))
    assert caught.value.rows[0] == BadRow(1, "the chat template alone is longer than max_length")


def test_control_token_is_text_in_a_pair(bert: Checkpoint) -> None:
    """In an encoder's pair a control token is text, and trains as such."""
    pairs = dataset([row(response_a="a [SEP] b")], bert)
    assert pairs[0].a.ids.count(bert.tokenizer.tokenizer.token_to_id("[SEP]")) == 2
