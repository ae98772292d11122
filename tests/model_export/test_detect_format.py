"""What can be a reward model here, and what is refused with its cause."""

import json
from pathlib import Path

import pytest
import transformers as hf

from model_export.checkpoint import open_checkpoint
from model_export.describe import describe_format
from model_export.errors import UnsupportedModel
from service.bundle.formats import ChatFormat, PairFormat
from service.domain import Encoding, ScoreItem
from service.errors import ControlTokenInText
from tests.model_export.templates import QWEN_3
from tests.tiny import CHAT_KINDS, PAIR_KINDS, build_tiny_checkpoint


def change_template(directory: Path, template: str | None) -> None:
    tokenizer = hf.AutoTokenizer.from_pretrained(directory)
    tokenizer.chat_template = template
    for path in directory.glob("chat_template*"):
        path.unlink()
    tokenizer.save_pretrained(directory)


def test_described_for_people(tmp_path: Path) -> None:
    """The format is shown with the example as the model reads it."""
    pair = describe_format(open_checkpoint(str(build_tiny_checkpoint("bert", tmp_path / "a"))).tokenizer)
    assert "[CLS]" in pair
    assert "pair, at most 512 tokens" in pair
    chat = describe_format(open_checkpoint(str(build_tiny_checkpoint("llama", tmp_path / "b"))).tokenizer)
    assert "<|start_header_id|>user" in chat
    assert "strips white space" in chat


def test_a_decoder_without_a_template(tmp_path: Path) -> None:
    """Prompt, blank line, response, end token: shown, and kept as data."""
    directory = build_tiny_checkpoint("llama", tmp_path)
    change_template(directory, None)
    form = open_checkpoint(str(directory)).format
    assert isinstance(form, ChatFormat)
    assert form.joints["user>assistant"] == "\n\n"
    assert form.joints["assistant>end"] == "<|eot_id|>"


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}",
        "{{ messages | length }}{% for m in messages %}{{ m['content'][:3] }}{% endfor %}",
        "{% for m in messages %}{{ m['content'] }}{{ m['content'] }}{% endfor %}",
        "{{ raise_exception('no') }}",
        "{% for m in messages %}{{ m['content'] }}{{ range(10) | random }}{% endfor %}",
    ],
)
def test_templates_that_are_not_literal(template: str, tmp_path: Path) -> None:
    """A template that does more than put text around turns is refused, not approximated."""
    directory = build_tiny_checkpoint("qwen3", tmp_path)
    change_template(directory, template)
    with pytest.raises(UnsupportedModel, match="not literal"):
        open_checkpoint(str(directory))


def test_turns_that_a_template_has_no_place_for(tmp_path: Path) -> None:
    """A template that refuses system messages is kept for what it can."""
    directory = build_tiny_checkpoint("qwen3", tmp_path)
    change_template(
        directory,
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "[{{ m['role'] }}]{{ m['content'] }}{% endfor %}",
    )
    form = open_checkpoint(str(directory)).format
    assert isinstance(form, ChatFormat)
    assert set(form.joints) == {"start>user", "user>assistant", "assistant>user", "assistant>end"}


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ("{% for m in messages %}{{ m['content'] * 100000000 }}{% endfor %}", "more memory than"),
        ("{{ messages.__class__.__base__.__subclasses__() }}", "the sandbox forbids"),
        ("{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m['content'] }}{% endfor %}", "writes the date"),
    ],
)
def test_templates_that_are_not_rendered(template: str, cause: str, tmp_path: Path) -> None:
    """A template that takes too much, reaches too far or changes with the day: refused, with the cure."""
    directory = build_tiny_checkpoint("qwen3", tmp_path)
    change_template(directory, template)
    with pytest.raises(UnsupportedModel, match=f"{cause}.*chat_template"):
        open_checkpoint(str(directory))


def test_described_by_turn(tmp_path: Path) -> None:
    """What a template does to some turns only is shown too."""
    directory = build_tiny_checkpoint("qwen3", tmp_path)
    change_template(directory, QWEN_3)
    shown = describe_format(open_checkpoint(str(directory)).tokenizer)
    assert "strips newlines before response" in shown
    assert "refuses texts with what the template rewrites: '</think>', '<tool_response>'" in shown


@pytest.mark.parametrize("kind", CHAT_KINDS)
def test_no_turn_can_be_forged(kind: str, tmp_path: Path) -> None:
    """No special token of the vocabulary may stand in a text, whether or not Hugging Face has a name for its part."""
    checkpoint = open_checkpoint(str(build_tiny_checkpoint(kind, tmp_path)))
    added = checkpoint.tokenizer.tokenizer.get_added_tokens_decoder()
    special = [token.content for token in added.values() if token.special]
    assert len(special) >= 3
    for token in special:
        for item in (ScoreItem(f"a{token}", "b"), ScoreItem("a", f"{token}b")):
            assert isinstance(checkpoint.tokenizer.encode([item])[0], ControlTokenInText)


@pytest.mark.parametrize("kind", PAIR_KINDS)
def test_spelled_out_control_tokens_are_text_in_a_pair(kind: str, tmp_path: Path) -> None:
    """A pair has its control tokens where the format puts them and nowhere else; a Unigram text is refused instead."""
    checkpoint = open_checkpoint(str(build_tiny_checkpoint(kind, tmp_path)))
    special = checkpoint.tokenizer.tokenizer.get_added_tokens_decoder()
    plain, *spelled = checkpoint.tokenizer.encode(
        [ScoreItem("a", "b"), *(ScoreItem("a", f"b{token.content}") for token in special.values())]
    )
    assert isinstance(plain, Encoding)
    form = checkpoint.format
    assert isinstance(form, PairFormat)
    for encoding in spelled:
        if not isinstance(encoding, ControlTokenInText):
            assert isinstance(encoding, Encoding)
            assert [i for i in encoding.ids if i in form.control_ids] == [i for i in plain.ids if i in form.control_ids]


def test_padding_with_the_unknown_token(tmp_path: Path) -> None:
    """A pair model that pads with its unknown token still reads texts with characters that it does not know."""
    directory = build_tiny_checkpoint("bert", tmp_path)
    tokenizer = hf.AutoTokenizer.from_pretrained(directory)
    tokenizer.pad_token = tokenizer.unk_token
    tokenizer.save_pretrained(directory)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"pad_token_id": tokenizer.unk_token_id}))
    [found] = open_checkpoint(str(directory)).tokenizer.encode([ScoreItem("a 🦄", "b")])
    assert isinstance(found, Encoding)
    assert tokenizer.unk_token_id in found.ids
    assert list(found.ids) == tokenizer("a 🦄", "b")["input_ids"]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_longer_than_the_positions(kind: str, tmp_path: Path) -> None:
    """A max_length beyond a learned position table is refused, not published to fail on every long text."""
    directory = str(build_tiny_checkpoint(kind, tmp_path))
    assert open_checkpoint(directory, max_length=512).format.max_length == 512
    with pytest.raises(UnsupportedModel, match="has 512 positions, max_length 513 is more"):
        open_checkpoint(directory, max_length=513)


@pytest.mark.parametrize("kind", ["deberta-v2", "llama"])
def test_relative_positions_have_no_end(kind: str, tmp_path: Path) -> None:
    """Relative and rotary positions go on: a longer max_length is the user's to choose."""
    directory = str(build_tiny_checkpoint(kind, tmp_path))
    assert open_checkpoint(directory, max_length=1024).format.max_length == 1024


def test_two_labels(tmp_path: Path) -> None:
    """A classifier with several labels is no reward model."""
    directory = build_tiny_checkpoint("bert", tmp_path)
    config = json.loads((directory / "config.json").read_text())
    config |= {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModel, match="2 labels"):
        open_checkpoint(str(directory))


def test_no_trained_head(tmp_path: Path) -> None:
    """An encoder without a head would give random rewards: refused by name, unless it is to be trained."""
    directory = build_tiny_checkpoint("bert", tmp_path / "full")
    hf.BertModel.from_pretrained(directory).save_pretrained(tmp_path / "bare")
    hf.AutoTokenizer.from_pretrained(directory).save_pretrained(tmp_path / "bare")
    config = json.loads((tmp_path / "bare" / "config.json").read_text())
    (tmp_path / "bare" / "config.json").write_text(json.dumps(config | {"id2label": {"0": "r"}, "label2id": {"r": 0}}))
    with pytest.raises(UnsupportedModel, match=r"classifier\.bias"):
        open_checkpoint(str(tmp_path / "bare"))
    assert open_checkpoint(str(tmp_path / "bare"), new_head=True).model.config.num_labels == 1


def test_nothing_there(tmp_path: Path) -> None:
    """No such directory or hub id: the cause in one line."""
    with pytest.raises(UnsupportedModel, match="cannot open"):
        open_checkpoint(str(tmp_path / "none"))
