"""Find out how a model reads (prompt, response), and write it down as data.

An encoder joins the two as its tokeniser joins a pair. A decoder has a chat template: it is rendered with marked
turns, the literal text between the marks is kept, and what was found is checked on other conversations; the service
then needs no template engine and runs nobody's program.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from model_export.errors import UnsupportedModel
from service.domain import Message, ScoreItem
from service.errors import InvalidInput
from service.repository.formats import ChatFormat, Joint, PairFormat
from service.tokenise import render_chat

_LONGEST_DEFAULT = 2048
_PLAIN_SEPARATOR = "\n\n"
_MARK = "MARK{}KRAM"
_CONVERSATIONS: tuple[tuple[str, ...], ...] = (
    ("user", "assistant"),
    ("system", "user", "assistant"),
    ("user", "assistant", "user", "assistant"),
)
_PROBES = ("a", "Two\n\nlines", "émigré 中文 🙂", "1. list\n2. list", "ends with a dot.")


def detect_format(tokenizer: Any, config: Any, *, max_length: int | None) -> PairFormat | ChatFormat:
    """The input format of a Hugging Face tokeniser and model configuration.

    Raises:
        UnsupportedModel: the tokeniser has no padding token to be had, or its template is not literal.
    """
    length = max_length or _model_length(tokenizer, config)
    pad_id = _pad_id(tokenizer, config)
    if tokenizer.chat_template or _is_decoder(config):
        return _chat_format(tokenizer, length, pad_id)
    return _pair_format(tokenizer, config, length, pad_id)


def _model_length(tokenizer: Any, config: Any) -> int:
    limits = [_LONGEST_DEFAULT]
    if tokenizer.model_max_length < 10**9:
        limits.append(int(tokenizer.model_max_length))
    if positions := getattr(config, "max_position_embeddings", None):
        # RoBERTa counts its positions from pad_token_id + 1 on.
        offset = 2 if config.model_type in {"roberta", "xlm-roberta", "camembert"} else 0
        limits.append(positions - offset)
    return min(limits)


def _pad_id(tokenizer: Any, config: Any) -> int:
    for candidate in (config.pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    raise UnsupportedModel("the tokeniser has neither a padding nor an end token; set pad_token in its configuration")


def _is_decoder(config: Any) -> bool:
    """Whether the classifier pools the last token: decoders do."""
    names = getattr(config, "architectures", None) or []
    masked = any("ForMaskedLM" in name or name == "BertModel" for name in names)
    return not masked and config.model_type in _DECODERS


_DECODERS = frozenset({
    "llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_neox", "opt", "olmo2",
})  # fmt: skip


def _pair_format(tokenizer: Any, config: Any, length: int, pad_id: int) -> PairFormat:
    """Find the control tokens around a pair by encoding one."""
    first, second = (tokenizer.encode(text, add_special_tokens=False) for text in ("one", "two"))
    both = tokenizer("one", "two")["input_ids"]
    start = _find(both, first, 0)
    between = start + len(first)
    after = _find(both, second, between)
    return PairFormat(
        max_length=length,
        start_ids=tuple(both[:start]),
        between_ids=tuple(both[between:after]),
        end_ids=tuple(both[after + len(second) :]),
        pad_id=pad_id,
        token_types=(getattr(config, "type_vocab_size", 0) or 0) > 1,
    )


def _find(ids: Sequence[int], part: Sequence[int], start: int) -> int:
    for place in range(start, len(ids) - len(part) + 1):
        if list(ids[place : place + len(part)]) == list(part):
            return place
    raise UnsupportedModel("the tokeniser does not join two texts as prompt and response; give it a pair template")


def _chat_format(tokenizer: Any, length: int, pad_id: int) -> ChatFormat:
    control = _control_tokens(tokenizer)
    if not tokenizer.chat_template:
        start, end = tokenizer.bos_token or "", tokenizer.eos_token or ""
        joints: dict[Joint, str] = {
            "start>user": start, "user>assistant": _PLAIN_SEPARATOR, "assistant>user": _PLAIN_SEPARATOR,
            "assistant>end": end,
        }  # fmt: skip
        return ChatFormat(max_length=length, joints=joints, trim=False, control_tokens=control, pad_id=pad_id)
    trim = _trims(tokenizer)
    form = ChatFormat(max_length=length, joints={}, trim=trim, control_tokens=control, pad_id=pad_id)
    for roles in _CONVERSATIONS:
        found = _probe(tokenizer, roles)
        if found is None:
            continue
        widened = form.model_copy(update={"joints": {**form.joints, **found}})
        if found.items() <= widened.joints.items() and _agrees(tokenizer, widened, roles):
            form = widened
    if "user>assistant" not in form.joints:
        raise UnsupportedModel("the chat template is not literal text around the turns; it cannot be kept as data")
    return form


def _control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Every special token of the vocabulary. `all_special_tokens` names only those with a part (bos, eos, ...): of
    Llama 3's it lacks <|start_header_id|>, with which a text could forge a turn.
    """
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return tuple(sorted(added | {str(token) for token in tokenizer.all_special_tokens}))


def _render(tokenizer: Any, roles: Sequence[str], contents: Sequence[str]) -> str | None:
    messages = [{"role": role, "content": text} for role, text in zip(roles, contents, strict=True)]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False))
    except Exception:  # noqa: BLE001 - a template is a program: it may refuse a conversation in any way it likes
        return None


def _probe(tokenizer: Any, roles: Sequence[str]) -> dict[Joint, str] | None:
    """The literal texts around marked turns; None where the template has no such conversation."""
    marks = [_MARK.format(i) for i in range(len(roles))]
    text = _render(tokenizer, roles, marks)
    if text is None or any(text.count(mark) != 1 for mark in marks):
        return None
    pieces: list[str] = []
    for mark in marks:
        before, _, text = text.partition(mark)
        pieces.append(before)
    pieces.append(text)
    joints: dict[Joint, str] = {}
    for (before, after), piece in zip(pairwise(("start", *roles, "end")), pieces, strict=True):
        key: Any = f"{before}>{after}"
        if joints.setdefault(key, piece) != piece:
            return None
    return joints


def _trims(tokenizer: Any) -> bool:
    text = _render(tokenizer, ("user", "assistant"), ("  padded  ", "answer"))
    return text is not None and "  padded  " not in text


def _agrees(tokenizer: Any, form: ChatFormat, roles: Sequence[str]) -> bool:
    """Whether our rendering equals the template's on other texts."""
    for shift in range(len(_PROBES)):
        contents = [_PROBES[(shift + i) % len(_PROBES)] for i in range(len(roles))]
        turns = tuple(Message(role, text) for role, text in zip(roles, contents, strict=True))  # type: ignore[arg-type]
        try:
            ours = render_chat(ScoreItem(turns[:-1], turns[-1].content), form).text
        except InvalidInput:
            return False
        if ours != _render(tokenizer, roles, contents):
            return False
    return True
