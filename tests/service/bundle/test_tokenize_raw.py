"""Whole texts and token ids: as Hugging Face reads them, with never two BOS; or refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors
from tokenizers.models import BPE
from transformers import AutoTokenizer

from model_export.checkpoint import open_checkpoint
from service.bundle.formats import ChatFormat, PairFormat
from service.bundle.tokenize import Encoded, ItemTokenizer, render_chat
from service.bundle.tokenize_raw import overlap
from service.domain import Encoding, Item, Message, RawText, RawTokens, ScoreItem
from service.errors import InvalidInput, TextTooLong, UnsupportedConversation
from tests.fakes import FORMAT, word_tokenizer
from tests.tiny import KINDS, build_tiny_checkpoint

TALK = (Message("system", "Be brief."), Message("user", "Two plus two?"))
ITEM = ScoreItem(TALK, "Four, I think.")


@pytest.fixture(scope="module", params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ItemTokenizer, Any]:
    """Our tokenizer and Hugging Face's, of each tiny architecture."""
    folder: Path = build_tiny_checkpoint(request.param, tmp_path_factory.mktemp(request.param))
    return open_checkpoint(str(folder)).tokenizer, AutoTokenizer.from_pretrained(folder)


def one(tokenizer: ItemTokenizer, item: Item) -> Encoded:
    [encoded] = tokenizer.encode([item])
    return encoded


def ids_of(encoded: Encoded) -> list[int]:
    assert isinstance(encoded, Encoding), encoded
    return list(encoded.ids)


def test_one_text_is_what_hugging_face_makes_of_it(opened: tuple[ItemTokenizer, Any]) -> None:
    """`tokenizer(text)`, for every architecture: what peers give the model for one text."""
    ours, theirs = opened
    for text in ("Name a prime.", " edge space ", "東京 🙂", "a"):
        assert ids_of(one(ours, RawText(text, special_tokens=True))) == theirs(text)["input_ids"]


def test_a_rendered_chat_is_the_native_encoding(opened: tuple[ItemTokenizer, Any]) -> None:
    """With and without special tokens: a template that begins with BOS gets no second one."""
    ours, theirs = opened
    if isinstance(ours.format, PairFormat):
        pytest.skip("a pair model has no template")
    text = render_chat(ITEM, ours.format).text
    native = ids_of(one(ours, ITEM))
    assert native == theirs(text, add_special_tokens=False)["input_ids"]
    assert ids_of(one(ours, RawText(text, special_tokens=False))) == native
    assert ids_of(one(ours, RawText(text, special_tokens=True))) == native


def test_no_second_bos() -> None:
    """A tokenizer that puts BOS before every text: one that begins with it, and one that does not, get one."""
    tokenizer = Tokenizer.from_str(word_tokenizer().tokenizer.to_str())
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    frame = [("[CLS]", 1), ("[SEP]", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=frame)
    form = ChatFormat(max_length=8, joints={}, trim=False, control_tokens=("[CLS]",), pad_id=0)
    ours = ItemTokenizer.from_json(tokenizer.to_str(), form)
    for text in ("a b", "[CLS] a b", "a b [SEP]", "[CLS] a b [SEP]"):
        assert ids_of(one(ours, RawText(text, special_tokens=True))) == [1, 4, 5, 2], text
    assert ids_of(one(ours, RawText("[CLS] a b", special_tokens=False))) == [1, 4, 5]
    cut = one(ours, RawText("[CLS] " + "a " * 20 + "b", special_tokens=True))
    assert isinstance(cut, Encoding)
    assert (cut.ids, cut.cut_tokens) == ((1, 4, 4, 4, 4, 4, 5, 2), 15)


@settings(max_examples=300)
@given(st.text("ab", max_size=12), st.text("ab", max_size=12))
def test_overlap(prompt: str, text: str) -> None:
    """The longest beginning of the text that the prompt ends with."""
    assert overlap(prompt, text) == max(n for n in range(len(text) + 1) if prompt.endswith(text[:n]))


def test_a_prompt_that_the_trainer_cut() -> None:
    """Its end begins the text: the whole prompt is scored. A few characters that agree are no proof."""
    ours = word_tokenizer()
    prompt = "a b c d e f g " * 4
    native = one(ours, ScoreItem(prompt, "c d"))
    assert one(ours, RawText(prompt[-40:] + "c d", special_tokens=False, prompt=prompt)) == native
    assert type(one(ours, RawText(prompt[-20:] + "c d", special_tokens=False, prompt=prompt))) is InvalidInput


def test_a_pair_model_is_told_where_the_response_begins() -> None:
    """With the prompt: the pair. Without it, or with another one: refused, not read as something else."""
    ours = word_tokenizer()
    native = one(ours, ScoreItem("a b", " c d"))
    assert one(ours, RawText("a b c d", special_tokens=False, prompt="a b")) == native
    for prompt, kind in ((None, UnsupportedConversation), ("b", InvalidInput)):
        assert type(one(ours, RawText("a b c d", special_tokens=False, prompt=prompt))) is kind


@settings(max_examples=100)
@given(st.lists(st.sampled_from("abcdefg"), max_size=90), st.lists(st.sampled_from("abcdefg"), max_size=90))
def test_ids_are_read_as_the_pair_that_they_are(prompt: list[str], response: list[str]) -> None:
    """A pair's own ids, sent back, give the same encoding, segments included."""
    ours = word_tokenizer()
    native = one(ours, ScoreItem(" ".join(prompt), " ".join(response)))
    assert isinstance(native, Encoding)
    again = one(ours, RawTokens(native.ids))
    assert again == Encoding(native.ids, native.second_segment, 0)


def test_ids_that_cannot_be_read() -> None:
    """None, foreign or too many: refused. An unchecked id would fail the whole batch."""
    ours = word_tokenizer()
    for ids, kind in (((), InvalidInput), ((99,), InvalidInput), ((-1,), InvalidInput)):
        assert type(one(ours, RawTokens(ids))) is kind
    assert type(one(ours, RawTokens((4,) * (FORMAT.max_length + 1)))) is TextTooLong
    assert ids_of(one(ours, RawTokens((4, 5)))) == [4, 5]


def test_kinds_may_be_mixed() -> None:
    """Each item of a call is answered in its place."""
    ours = word_tokenizer()
    items: list[Item] = [RawTokens((4,)), ScoreItem("a", "b"), RawText("a", special_tokens=True), ScoreItem("c", "d")]
    assert ours.encode(items) == [one(ours, item) for item in items]


def test_a_vocabulary_without_the_usual_letters() -> None:
    """The frame is found by whatever the tokenizer can spell; where nothing tells, the text is refused."""
    frame = [("[CLS]", 1), ("[SEP]", 2)]
    for words, outcome in (("A b", [1, 5, 2]), ("x y", None)):
        vocabulary = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2} | {w: i for i, w in enumerate(words.split(), start=4)}
        tokenizer = Tokenizer(BPE(vocabulary, []))
        tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=frame)
        form = ChatFormat(max_length=8, joints={}, trim=False, control_tokens=(), pad_id=0)
        found = one(
            ItemTokenizer.from_json(tokenizer.to_str(), form), RawText("b" if outcome else "y", special_tokens=True)
        )
        assert ids_of(found) == outcome if outcome else type(found) is UnsupportedConversation


def test_nothing_to_score() -> None:
    """A text without tokens is an error of its own, not a reward."""
    form = ChatFormat(max_length=8, joints={}, trim=False, control_tokens=(), pad_id=0)
    ours = ItemTokenizer.from_json(word_tokenizer().tokenizer.to_str(), form)
    assert type(one(ours, RawText("", special_tokens=False))) is InvalidInput
