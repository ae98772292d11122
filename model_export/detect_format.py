"""Find out how a model reads (prompt, response), and write it down as data.

An encoder joins the two as its tokenizer joins a pair. A decoder has a chat template: it is introspected in a
sandbox (`introspect_chat.py`), and the literal text that it puts around turns is kept; the service then needs no
template engine and runs no foreign program.
"""

from collections.abc import Sequence
from typing import Any

from model_export.errors import UnsupportedModel
from model_export.introspect_chat import introspect_chat
from service.bundle.formats import ChatFormat, PairFormat, TurnSeparator

_LONGEST_DEFAULT = 2048
_PLAIN_SEPARATOR = "\n\n"


def detect_format(tokenizer: Any, config: Any, *, max_length: int | None) -> PairFormat | ChatFormat:
    """The input format of a Hugging Face tokenizer and model configuration.

    Raises:
        UnsupportedModel: the tokenizer has no padding token to be had, or its template is not literal.
    """
    length = max_length or _model_length(tokenizer, config)
    if tokenizer.chat_template or _is_decoder(config):
        return _chat_format(tokenizer, config, length)
    return _pair_format(tokenizer, config, length)


def _model_length(tokenizer: Any, config: Any) -> int:
    limits = [_LONGEST_DEFAULT]
    if tokenizer.model_max_length < 10**9:
        limits.append(int(tokenizer.model_max_length))
    if positions := getattr(config, "max_position_embeddings", None):
        # RoBERTa counts its positions from pad_token_id + 1 on.
        offset = 2 if config.model_type in {"roberta", "xlm-roberta", "camembert"} else 0
        limits.append(positions - offset)
    return min(limits)


def published_pad_id(config: Any) -> int | None:
    """The padding token of a model's configuration; None where it has none, or one that is in no vocabulary (-1)."""
    found = config.pad_token_id
    return None if found is None or not 0 <= found < _vocabulary(config) else int(found)


def _vocabulary(config: Any) -> int:
    return int(config.get_text_config().vocab_size)


def _pair_pad_id(tokenizer: Any, config: Any) -> int:
    for candidate in (published_pad_id(config), tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    raise UnsupportedModel("the tokenizer has neither a padding nor an end token; set pad_token in its configuration")


def _chat_pad_id(tokenizer: Any, config: Any, joints: dict[TurnSeparator, str]) -> int:
    """A decoder's padding: the model's own, else a token that no conversation can end with.

    Hugging Face pools the last token that is not padding. Where the model names none, it pools the last token; if we
    then called its end token padding, as is often done, the reward would be read one token too early.
    """
    if (own := published_pad_id(config)) is not None:
        return own
    special = {token: i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    named = [str(token) for token in special]
    end = joints["assistant>end"]
    if any(token in end for token in named):
        # The tokens from there on are what they are, whatever stands before.
        last = {tokenizer.encode(end, add_special_tokens=False)[-1]}
        spare: Sequence[int] = range(2)
    else:
        tails = [end, joints["user>assistant"], joints.get("user>response", "")]
        last = {i for token, i in special.items() if any(str(token) in tail for tail in tails)}
        spare = ()
    usual = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id, *sorted(special.values()))
    usable = set(special.values()) - {tokenizer.unk_token_id}
    for candidate in (*(i for i in usual if i in usable), *spare):
        if candidate not in last and candidate < _vocabulary(config):
            return int(candidate)
    raise UnsupportedModel("no token can be padding, each may end a conversation; set pad_token_id in config.json")


def _is_decoder(config: Any) -> bool:
    """Whether the classifier pools the last token: decoders do."""
    names = getattr(config, "architectures", None) or []
    masked = any("ForMaskedLM" in name or name == "BertModel" for name in names)
    return not masked and config.model_type in _DECODERS


_DECODERS = frozenset({
    "llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_neox", "opt", "olmo2",
})  # fmt: skip


def _pair_format(tokenizer: Any, config: Any, length: int) -> PairFormat:
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
        pad_id=_pair_pad_id(tokenizer, config),
        token_types=(getattr(config, "type_vocab_size", 0) or 0) > 1,
        unknown_id=tokenizer.unk_token_id,
    )


def _find(ids: Sequence[int], part: Sequence[int], start: int) -> int:
    for place in range(start, len(ids) - len(part) + 1):
        if list(ids[place : place + len(part)]) == list(part):
            return place
    raise UnsupportedModel("the tokenizer does not join two texts as prompt and response; give it a pair template")


def _chat_format(tokenizer: Any, config: Any, length: int) -> ChatFormat:
    form = ChatFormat(max_length=length, joints={}, trim=False, control_tokens=_control_tokens(tokenizer), pad_id=0)
    if tokenizer.chat_template:
        form = introspect_chat(tokenizer, form)
    else:
        start, end = tokenizer.bos_token or "", tokenizer.eos_token or ""
        joints: dict[TurnSeparator, str] = {
            "start>user": start, "user>assistant": _PLAIN_SEPARATOR, "assistant>user": _PLAIN_SEPARATOR,
            "assistant>end": end,
        }  # fmt: skip
        form = form.model_copy(update={"joints": joints})
    return form.model_copy(update={"pad_id": _chat_pad_id(tokenizer, config, form.joints)})


def _control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Every special token of the vocabulary. `all_special_tokens` names only those with a part (bos, eos, ...): of
    Llama 3's it lacks <|start_header_id|>, with which a text could forge a turn.
    """
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return tuple(sorted(added | {str(token) for token in tokenizer.all_special_tokens}))
