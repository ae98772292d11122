"""Rendering and cutting: nothing but the prompt's beginning is cut while there is any of it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from model_export.checkpoint import open_checkpoint
from service.bundle.formats import ChatFormat, PairFormat
from service.bundle.tokenize import Encoded, ItemTokenizer, render_chat, safe_split_points
from service.domain import Encoding, Message, Prompt, ScoreItem
from service.errors import ControlTokenInText, UnsupportedConversation
from tests.fakes import FORMAT, word_tokenizer
from tests.tiny import CHAT_KINDS, build_tiny_checkpoint

words = st.lists(st.sampled_from("abcdefg"), max_size=90).map(" ".join)
CHAT = ChatFormat(
    max_length=12,
    joints={"start>user": "a ", "user>assistant": " b ", "assistant>user": " d ", "assistant>end": " c"},
    trim=True,
    control_tokens=("<x>",),
    pad_id=0,
)


def chat_tokenizer(form: ChatFormat = CHAT) -> ItemTokenizer:
    return ItemTokenizer.from_json(word_tokenizer().tokenizer.to_str(), form)


def one(tokenizer: ItemTokenizer, item: ScoreItem) -> Encoding:
    [encoding] = tokenizer.encode([item])
    assert isinstance(encoding, Encoding)
    return encoding


@settings(max_examples=200)
@given(words, words)
def test_pairs_are_cut_from_the_left_of_the_prompt(prompt: str, response: str) -> None:
    """[start] end-of-prompt [between] response [end]; the cut is counted; an answer's end is always kept."""
    tokenizer = word_tokenizer()
    ids = {word: tokenizer.tokenizer.token_to_id(word) for word in "abcdefg"}
    first, second = ([ids[word] for word in text.split()] for text in (prompt, response))
    found = one(tokenizer, ScoreItem(prompt, response))
    room = FORMAT.max_length - 3
    cut = max(0, len(first) + len(second) - room)
    kept_first = first[min(cut, len(first)) :]
    kept_second = second[max(0, cut - len(first)) :]
    assert found.ids == (1, *kept_first, 2, *kept_second, 2)
    assert found.second_segment == 2 + len(kept_first)
    assert found.cut_tokens == cut
    assert len(found.ids) <= FORMAT.max_length


def test_no_token_types() -> None:
    """A model without token types has no second segment."""
    form = PairFormat(**(FORMAT.model_dump() | {"token_types": False}))
    found = one(ItemTokenizer.from_json(word_tokenizer().tokenizer.to_str(), form), ScoreItem("a", "b"))
    assert found.second_segment == len(found.ids)


def test_conversations_in_pairs() -> None:
    """One user turn is the prompt itself; more turns are labeled."""
    tokenizer = word_tokenizer("User: Assistant: a b c")
    plain = one(tokenizer, ScoreItem("a", "b"))
    assert one(tokenizer, ScoreItem((Message("user", "a"),), "b")) == plain
    talk = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    spelled = one(tokenizer, ScoreItem("User: a\n\nAssistant: b\n\nUser: c", "b"))
    assert one(tokenizer, ScoreItem(talk, "b")) == spelled
    assert ScoreItem(talk, "bb").characters == 5


@settings(max_examples=200)
@given(words, words)
def test_chats_keep_their_template(prompt: str, response: str) -> None:
    """The template's own tokens survive any cut; the prompt goes first, from the left, then the response."""
    tokenizer = chat_tokenizer()
    ids = {word: tokenizer.tokenizer.token_to_id(word) for word in "abcdefg"}
    first, second = ([ids[word] for word in text.split()] for text in (prompt, response))
    found = one(tokenizer, ScoreItem(prompt, response))
    cut = max(0, len(first) + len(second) + 3 - CHAT.max_length)
    kept_first, kept_second = first[min(cut, len(first)) :], second[max(0, cut - len(first)) :]
    assert found.ids == (ids["a"], *kept_first, ids["b"], *kept_second, ids["c"])
    assert found.cut_tokens == cut


def test_chats_refuse_by_item() -> None:
    """Control tokens and turns without a place are that item's error; the others are encoded."""
    items = [
        ScoreItem("a", "b"),
        ScoreItem("a", "b <x>"),
        ScoreItem((Message("system", "a"), Message("user", "a")), "b"),
        ScoreItem("b", "a"),
    ]
    kinds = [type(entry) for entry in chat_tokenizer().encode(items)]
    assert kinds == [Encoding, ControlTokenInText, UnsupportedConversation, Encoding]


def test_a_template_longer_than_the_limit() -> None:
    """A template that alone exceeds max_length cannot be scored, and says so."""
    long = CHAT.model_copy(update={"joints": dict(CHAT.joints) | {"start>user": "a " * 20}})
    [refused] = chat_tokenizer(long).encode([ScoreItem("a", "b")])
    assert isinstance(refused, UnsupportedConversation)


def test_trimming() -> None:
    """A template that strips white space has it stripped; one that does not keeps it."""
    item = ScoreItem("  a  ", " b ")
    assert render_chat(item, CHAT).text == "a a b b c"
    kept = CHAT.model_copy(update={"trim": False})
    assert render_chat(item, kept).text == "a   a   b  b  c"


@pytest.mark.parametrize("text", ["[SEP]", "[CLS] x", "[PAD]"])
def test_control_words_that_would_be_read_as_control(text: str) -> None:
    """A vocabulary that finds its own control tokens in a text: that item is refused, in prompt and in response."""
    items = [ScoreItem(text, "a"), ScoreItem("a", text), ScoreItem("a", "b")]
    kinds = [type(entry) for entry in word_tokenizer().encode(items)]
    assert kinds == [ControlTokenInText, ControlTokenInText, Encoding]


@pytest.fixture(scope="module")
def chat_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ItemTokenizer]:
    """Tokenizers of tiny Llama and Qwen models, with the formats that export detects."""
    folder = tmp_path_factory.mktemp("chats")
    return {kind: open_checkpoint(str(build_tiny_checkpoint(kind, folder / kind))).tokenizer for kind in CHAT_KINDS}


any_text = st.text(max_size=30) | st.sampled_from(["word " * 200, " edge ", "\n\n", "<|im", "<|eot_", "é👩‍👩‍👧‍👦"])


@settings(max_examples=150)
@given(st.data(), any_text, st.lists(any_text, min_size=2, max_size=4))
@pytest.mark.parametrize("kind", CHAT_KINDS)
def test_a_shared_prompt_changes_no_token(
    chat_models: dict[str, ItemTokenizer], kind: str, data: st.DataObject, prompt: str, responses: list[str]
) -> None:
    """Tokenized once or with each response: the same ids, the same truncation, whatever the texts."""
    shared = chat_models[kind]
    assert shared.split_points, "these templates can be cut"
    turns = (Message("user", prompt), Message("assistant", data.draw(any_text)), Message("user", data.draw(any_text)))
    prompts: st.SearchStrategy[Prompt] = st.sampled_from([prompt, turns])
    items = [ScoreItem(data.draw(prompts), response) for response in responses]
    assert _plain(shared.encode(items)) == _plain(replace(shared, share_prompts=False).encode(items))


def _plain(encoded: list[Encoded]) -> list[object]:
    return [entry if isinstance(entry, Encoding) else str(entry) for entry in encoded]


def test_the_shared_prompt_is_tokenized_once(chat_models: dict[str, ItemTokenizer]) -> None:
    """Of a group, the tokenizer gets the prompt once and each response's side by itself; a lone chat stays whole."""
    seen: list[list[str]] = []

    class Spy:
        def __init__(self, tokenizer: Tokenizer) -> None:
            self.tokenizer = tokenizer

        def encode_batch(self, texts: list[str], *, add_special_tokens: bool) -> object:
            seen.append(texts)
            return self.tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)

    model = chat_models["llama"]
    spied = replace(model, tokenizer=Spy(model.tokenizer))
    spied.encode([ScoreItem("the question", text) for text in ("one", "two", "three")])
    spied.encode([ScoreItem("the question", "one"), ScoreItem("another", "one")])
    assert [len(texts) for texts in seen] == [4, 2]
    assert sum("the question" in text for text in seen[0]) == 1


@pytest.mark.parametrize(
    ("token", "cut"),
    [
        (AddedToken("<x>", normalized=False), True),
        (AddedToken("<x>", normalized=True), False),
        (AddedToken("<x>", normalized=False, lstrip=True), False),
        (AddedToken("<x>", normalized=False, single_word=True), False),
    ],
)
def test_seams(token: AddedToken, cut: bool) -> None:
    """Only tokens that nothing on their left can change; and not where another token could lie across."""
    tokenizer = word_tokenizer().tokenizer
    assert safe_split_points(tokenizer, ["<x> b"]) == frozenset()
    tokenizer.add_special_tokens([token])
    assert (safe_split_points(tokenizer, ["<x> b", "b <x>"]) == {"<x> b"}) == cut
    tokenizer.add_special_tokens([AddedToken("a<x", normalized=False)])
    assert safe_split_points(tokenizer, ["<x> b"]) == frozenset()


@settings(max_examples=50)
@given(words, st.lists(words, min_size=1, max_size=4))
def test_a_prompt_shared_by_pairs_changes_nothing(prompt: str, responses: list[str]) -> None:
    """Tokenized once or with each response: the same encodings."""
    tokenizer = word_tokenizer()
    items = [ScoreItem(prompt, response) for response in responses]
    assert tokenizer.encode(items) == replace(tokenizer, share_prompts=False).encode(items)
