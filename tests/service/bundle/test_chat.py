"""Conversations are tokenized as Hugging Face's template has them, id for id, or refused; never a second BOS."""

import json
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

import pytest
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

from model_export.detect_format import detect_format
from model_export.errors import UnsupportedModel
from service.bundle.formats import ChatFormat, Trim
from service.bundle.tokenize import ItemTokenizer
from service.domain import Encoding, Message, Role, ScoreItem
from service.errors import ControlTokenInText, UnsupportedConversation
from tests.model_export.templates import CHATML, LLAMA_3, TEMPLATES
from tests.tiny import chat_tokenizer

LLAMA_TOKENS = ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|pad|>")
QWEN_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MISTRAL_TOKENS = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
GEMMA_TOKENS = ("<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
THINKING = ("<think>", "</think>", "<tool_response>", "</tool_response>")
TOKENIZERS: dict[str, dict[str, Any]] = {
    "llama": {"special": LLAMA_TOKENS, "bos_token": LLAMA_TOKENS[0], "eos_token": LLAMA_TOKENS[1]},
    "qwen": {"special": QWEN_TOKENS, "words": THINKING, "eos_token": QWEN_TOKENS[2], "pad_token": QWEN_TOKENS[0]},
    "chatml": {"special": QWEN_TOKENS, "words": THINKING, "eos_token": QWEN_TOKENS[2], "pad_token": QWEN_TOKENS[0]},
    "mistral": {"special": MISTRAL_TOKENS, "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
    "gemma": {"special": GEMMA_TOKENS, "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
}
USER, SYSTEM, MULTI = ("user",), ("system", "user"), ("user", "assistant", "user")
BOTH = ("system", "user", "assistant", "user")
LONG = (*BOTH, "assistant", "user")
PLACES: dict[str, set[tuple[str, ...]]] = {
    "llama-3": {USER, SYSTEM, MULTI, BOTH, LONG},
    "chatml": {USER, SYSTEM, MULTI, BOTH, LONG},
    "qwen-2.5": {USER, SYSTEM, MULTI, BOTH, LONG},
    "qwen-3": {USER, SYSTEM, MULTI, BOTH, LONG},
    "mistral": {USER, MULTI},
    "mistral-first": {USER, SYSTEM, MULTI, BOTH, LONG},
    "mistral-last": {USER, MULTI},
    "gemma": {USER, MULTI},
}
"""Orders of roles before the response that each template has a place for."""
TEXTS = ("What?", " padded \n", "\n\ntwo\n\nlines", "é 中文 🙂", "<thin", "{{ bos_token }}", "don't")
any_text = st.text(max_size=30) | st.sampled_from(
    [*TEXTS, *THINKING, "<think>\nhm\n</think>\n\nyes", "<|im_start|>", ""]
)


@cache
def opened(name: str, template: str | None = None) -> tuple[Any, ItemTokenizer]:
    """The Hugging Face tokenizer of that template, and ours, of what was found in it."""
    tokenizer = chat_tokenizer(template or TEMPLATES[name], **TOKENIZERS[name.split("-", maxsplit=1)[0]])
    config = hf.LlamaConfig(vocab_size=len(tokenizer), num_labels=1)
    form = detect_format(tokenizer, config, max_length=4096)
    return tokenizer, ItemTokenizer.from_json(tokenizer.backend_tokenizer.to_str(), form)


def messages(item: ScoreItem) -> list[dict[str, str]]:
    turns = (Message("user", item.prompt),) if isinstance(item.prompt, str) else item.prompt
    talk = (*turns, Message("assistant", item.response))
    return [{"role": turn.role, "content": turn.content} for turn in talk]


def expected_ids(tokenizer: Any, item: ScoreItem) -> list[int]:
    ids: list[int] = tokenizer.apply_chat_template(messages(item), tokenize=True)
    text = tokenizer.apply_chat_template(messages(item), tokenize=False)
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids
    return ids


def talk(roles: tuple[str, ...], texts: Iterator[str]) -> ScoreItem:
    *turns, last = [Message(role, next(texts)) for role in (*roles, "assistant")]  # type: ignore[arg-type]
    return ScoreItem(tuple(turns), last.content)


@pytest.mark.parametrize(("name", "roles"), list(product(TEMPLATES, (USER, SYSTEM, MULTI, BOTH, LONG))))
def test_conversations_of_every_shape(name: str, roles: tuple[str, ...]) -> None:
    """System prompts and several turns, in ids those of Hugging Face; no place for them: that item's own error."""
    tokenizer, ours = opened(name)
    for shift in range(len(TEXTS)):
        item = talk(roles, iter((TEXTS[shift:] + TEXTS) * 2))
        [found] = ours.encode([item])
        if roles in PLACES[name]:
            assert isinstance(found, Encoding)
            assert list(found.ids) == expected_ids(tokenizer, item)
        else:
            assert isinstance(found, UnsupportedConversation)


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=150)
@given(st.data(), st.sampled_from((USER, SYSTEM, MULTI, BOTH, LONG)))
def test_equal_or_refused(name: str, data: st.DataObject, roles: tuple[str, ...]) -> None:
    """Whatever the texts: the ids of Hugging Face, or an error; never other ids."""
    tokenizer, ours = opened(name)
    item = talk(roles, iter([data.draw(any_text) for _ in range(len(roles) + 1)]))
    [found] = ours.encode([item])
    if isinstance(found, Encoding):
        assert list(found.ids) == expected_ids(tokenizer, item)


@pytest.mark.parametrize("name", TEMPLATES)
def test_answers_to_one_conversation(name: str) -> None:
    """A conversation that several responses answer, tokenized once: still the ids of Hugging Face."""
    tokenizer, ours = opened(name)
    turns = (Message("user", "Why?"), Message("assistant", "So."), Message("user", "And then? "))
    items = [ScoreItem(turns, text) for text in ("one", "\n two\n", "")]
    for item, found in zip(items, ours.encode(items), strict=True):
        assert isinstance(found, Encoding)
        assert list(found.ids) == expected_ids(tokenizer, item)


@pytest.mark.parametrize("name", ["llama-3", "mistral", "mistral-first", "gemma"])
def test_one_bos(name: str) -> None:
    """The tokenizer puts a BOS before a text, the template writes one too: one is in the ids, at their start."""
    tokenizer, ours = opened(name)
    rendered = tokenizer.apply_chat_template(messages(ScoreItem("a", "b")), tokenize=False)
    assert tokenizer(rendered)["input_ids"].count(tokenizer.bos_token_id) == 2, "the trap is set"
    for item in (ScoreItem("a", "b"), talk(MULTI, iter("abcd"))):
        [found] = ours.encode([item])
        assert isinstance(found, Encoding)
        assert found.ids[0] == tokenizer.bos_token_id
        assert found.ids.count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize("name", ["qwen-2.5", "qwen-3", "chatml"])
def test_no_bos(name: str) -> None:
    """A tokenizer without a BOS gets none."""
    tokenizer, ours = opened(name)
    assert tokenizer.bos_token_id is None
    [found] = ours.encode([ScoreItem("a", "b")])
    assert isinstance(found, Encoding)
    assert found.ids[0] == tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert list(found.ids) == expected_ids(tokenizer, ScoreItem("a", "b"))


def test_a_default_system_prompt() -> None:
    """A template that writes its own system prompt where there is none: so do we; a given one replaces it."""
    _, ours = opened("qwen-2.5")
    plain, given_one = ours.encode([ScoreItem("a", "b"), talk(SYSTEM, iter(["Be brief.", "a", "b"]))])
    assert isinstance(plain, Encoding)
    assert isinstance(given_one, Encoding)
    decode = ours.tokenizer.decode
    assert "You help people." in decode(plain.ids, skip_special_tokens=False)
    assert "You help people." not in decode(given_one.ids, skip_special_tokens=False)


def test_thoughts_that_the_template_drops() -> None:
    """Qwen 3 rewrites thoughts of the assistant, and tool responses of the user: refused there, kept elsewhere."""
    tokenizer, ours = opened("qwen-3")
    form = ours.format
    assert isinstance(form, ChatFormat)
    assert form.joints["user>response"] == "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert form.joints["user>assistant"] == "<|im_end|>\n<|im_start|>assistant\n"
    assert form.rewritten == {"user": ("<tool_response>",), "assistant": ("</think>",), "response": ("</think>",)}
    assert form.trim == {"response": Trim(left="newlines")} | {turn: Trim() for turn in ("system", "user", "assistant")}
    thought = "<think>\nhm\n</think>\n\nyes"
    kept = [ScoreItem(thought, "b"), ScoreItem("a", "<think> is a word")]
    for item, found in zip(kept, ours.encode(kept), strict=True):
        assert isinstance(found, Encoding)
        assert list(found.ids) == expected_ids(tokenizer, item)
    dropped = [
        ScoreItem("a", thought),
        talk(MULTI, iter(["a", thought, "c", "d"])),
        ScoreItem("<tool_response>x</tool_response>", "b"),
    ]
    for found in ours.encode(dropped):
        assert isinstance(found, ControlTokenInText)
        assert "template would not keep it" in found.message


@pytest.mark.parametrize("text", ["<think>", "a <think>b</think> c", "</think>", "x<tool_response>"])
def test_added_tokens_that_are_not_special(text: str) -> None:
    """A template that leaves them alone: in a text they are the one token that they are for Hugging Face."""
    tokenizer, ours = opened("chatml")
    added = {tokenizer.convert_tokens_to_ids(word) for word in THINKING}
    for item in (ScoreItem(text, "b"), ScoreItem("a", text), talk(BOTH, iter([text] * 5))):
        [found] = ours.encode([item])
        assert isinstance(found, Encoding)
        assert list(found.ids) == expected_ids(tokenizer, item)
        assert added & set(found.ids)


def test_trimmed_by_role() -> None:
    """A template may strip one role's turns and keep the other's."""
    for role, other in (("user", "assistant"), ("assistant", "user")):
        template = CHATML.replace("m['content']", f"m['content'] | trim if m['role'] == '{role}' else m['content']")
        tokenizer, ours = opened("chatml", template)
        form = ours.format
        assert isinstance(form, ChatFormat)
        trimmed: tuple[Any, ...] = (role, "response") if role == "assistant" else (role,)
        assert all(form.trim_of(turn) == Trim(left="spaces", right="spaces") for turn in trimmed)
        assert form.trim_of(other) == Trim()  # type: ignore[arg-type]
        item = talk(BOTH, iter([" a\n"] * 5))
        [found] = ours.encode([item])
        assert isinstance(found, Encoding)
        assert list(found.ids) == expected_ids(tokenizer, item)


def test_a_turn_that_may_not_be_blank() -> None:
    """A template that leaves out empty system prompts: those are refused, others are not."""
    template = CHATML.replace("<|im_start|>", "{% if m['content'] | trim or m['role'] != 'system' %}<|im_start|>")
    template = template.replace("<|im_end|>\n", "<|im_end|>\n{% endif %}")
    tokenizer, ours = opened("chatml", template)
    full, blank, empty = (talk(SYSTEM, iter([text, "", ""])) for text in ("a", " \n", ""))
    found = ours.encode([full, blank, empty])
    assert isinstance(found[0], Encoding)
    assert list(found[0].ids) == expected_ids(tokenizer, full)
    assert [type(entry) for entry in found[1:]] == [ControlTokenInText, ControlTokenInText]


@pytest.mark.parametrize(
    "change",
    [
        "m['content'].replace('a', 'b')",
        "m['content'].split('. ')[0]",
        "m['content'].lstrip(' ')",
        "m['content'] if m['content'] != 'hello' else ''",
    ],
)
def test_a_template_that_changes_words(change: str) -> None:
    """Words of every day cannot be refused in texts: the template is."""
    with pytest.raises(UnsupportedModel, match="not literal"):
        opened("chatml", CHATML.replace("m['content']", change))


@pytest.mark.parametrize("old", [True, False])
def test_manifests_of_before(old: bool) -> None:
    """One flag for all turns, as the first manifests have it, still says what it said."""
    record = {"kind": "chat", "max_length": 64, "joints": {}, "trim": old, "control_tokens": [], "pad_id": 0}
    form = ChatFormat.model_validate_json(json.dumps(record))
    roles: tuple[Role, ...] = ("system", "user", "assistant")
    for turn in (*roles, "response"):
        assert form.trim_of(turn).apply(" a\n") == ("a" if old else " a\n")  # type: ignore[arg-type]


def test_templates_by_name() -> None:
    """Of several named templates the default is read; without a default it says which there are."""
    tokenizer = chat_tokenizer(LLAMA_3, **TOKENIZERS["llama"])
    tokenizer.chat_template = {"default": LLAMA_3, "tool_use": "{{ tools }}"}
    config = hf.LlamaConfig(vocab_size=len(tokenizer))
    found = detect_format(tokenizer, config, max_length=64)
    assert isinstance(found, ChatFormat)
    assert found.joints["user>assistant"].startswith("<|eot_id|>")
    tokenizer.chat_template = {"rag": LLAMA_3, "tool_use": "{{ tools }}"}
    with pytest.raises(UnsupportedModel, match="rag"):
        detect_format(tokenizer, config, max_length=64)
