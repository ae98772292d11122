"""Renders and tokenizes items: the one definition that training, export, verification and serving share.

Items longer than max_length are truncated from the left of the prompt; only when no prompt is left, from the left of
the response, so that the end of an answer is always read. Truncation is always reported.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

from tokenizers import Encoding as RawEncoding
from tokenizers import Tokenizer

from service.bundle.formats import ChatFormat, PairFormat, Turn, TurnSeparator
from service.bundle.tokenize_raw import as_pair, encode_texts, encode_tokens
from service.domain import Encoding, Item, Message, Prompt, RawText, RawTokens, Role, ScoreItem
from service.errors import ControlTokenInText, InvalidInput, UnsupportedConversation

Encoded = Encoding | InvalidInput


@dataclass(frozen=True, slots=True)
class ItemTokenizer:
    """A tokenizer.json with the input format of its model. Safe to call from several threads."""

    tokenizer: Tokenizer
    format: PairFormat | ChatFormat
    share_prompts: bool = True
    """Tokenize what several items of one call share once."""
    split_points: frozenset[str] = frozenset()
    """Separators of a chat format before which a chat may be split and tokenized in two parts."""

    @classmethod
    def from_json(cls, tokenizer_json: str, input_format: PairFormat | ChatFormat) -> "ItemTokenizer":
        """Parse tokenizer.json; its own truncation and padding are switched off, they would cut silently."""
        tokenizer = Tokenizer.from_str(tokenizer_json)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # In a pair the control tokens are ours to place: "[SEP]" inside a text is text.
        tokenizer.encode_special_tokens = input_format.kind == "pair"
        separators = input_format.joints.values() if isinstance(input_format, ChatFormat) else ()
        return cls(tokenizer, input_format, split_points=safe_split_points(tokenizer, separators))

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        """One result per item, in order: its encoding, or the reason why it has none.

        Uses `encode_batch`, which releases the GIL; call it off the event loop all the same.
        """
        encoded: list[Encoded] = []
        for kind, run in groupby(items, key=type):
            encoded += self._ENCODERS[kind](self, list(run))
        return encoded

    def _encode_items(self, items: Sequence[ScoreItem]) -> list[Encoded]:
        if isinstance(self.format, PairFormat):
            return _encode_pairs(self.tokenizer, self.format, items, share=self.share_prompts)
        return _encode_chats(
            self.tokenizer, self.format, items, self.split_points if self.share_prompts else frozenset()
        )

    def _encode_texts(self, items: Sequence[RawText]) -> list[Encoded]:
        if isinstance(self.format, PairFormat) and not all(item.special_tokens for item in items):
            return [self._encode_as_pair(item) for item in items]
        return encode_texts(self.tokenizer, self.format, items)

    def _encode_as_pair(self, item: RawText) -> Encoded:
        pair = as_pair(item)
        return self._encode_items([pair])[0] if isinstance(pair, ScoreItem) else pair

    def _encode_tokens(self, items: Sequence[RawTokens]) -> list[Encoded]:
        return [encode_tokens(self.tokenizer, self.format, item) for item in items]

    _ENCODERS: ClassVar[dict[type, Callable[["ItemTokenizer", list[Any]], list[Encoded]]]] = {
        ScoreItem: _encode_items,
        RawText: _encode_texts,
        RawTokens: _encode_tokens,
    }


def _encode_pairs(tokenizer: Tokenizer, form: PairFormat, items: Sequence[ScoreItem], *, share: bool) -> list[Encoded]:
    texts = [text for item in items for text in (_flatten(item.prompt), item.response)]
    distinct = list(dict.fromkeys(texts)) if share else texts
    # The _fast variant leaves out the offsets, which a pair does not need; the ids are the same.
    raw = [entry.ids for entry in tokenizer.encode_batch_fast(distinct, add_special_tokens=False)]
    if share:
        ids = dict(zip(distinct, raw, strict=True))
        raw = [ids[text] for text in texts]
    return [_join_pair(raw[2 * i], raw[2 * i + 1], form) for i in range(len(items))]


def _join_pair(prompt: list[int], response: list[int], form: PairFormat) -> Encoded:
    # A Unigram vocabulary holds its control tokens as pieces, and finds them in a text that spells them out.
    if not form.control_ids.isdisjoint(prompt) or not form.control_ids.isdisjoint(response):
        return ControlTokenInText(
            "a text spells out one of the model's control tokens, and would be read as it; remove it"
        )
    room = form.max_length - len(form.start_ids) - len(form.between_ids) - len(form.end_ids)
    cut = max(0, len(prompt) + len(response) - room)
    cut_prompt = min(cut, len(prompt))
    first = (*form.start_ids, *prompt[cut_prompt:], *form.between_ids)
    ids = (*first, *response[cut - cut_prompt :], *form.end_ids)
    return Encoding(ids, len(first) if form.token_types else len(ids), cut)


def _flatten(prompt: Prompt) -> str:
    """The prompt as one text; a conversation of more than one turn gets a label a turn."""
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1 and prompt[0].role == "user":
        return prompt[0].content
    return "\n\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in prompt)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as one string, with the character ranges that may be truncated."""

    text: str
    prompt_start: int
    prompt_end: int
    response_start: int
    response_end: int


def render_chat(item: ScoreItem, form: ChatFormat) -> Rendered:
    """Join the turns by the format's literal texts.

    Raises:
        ControlTokenInText: a turn holds one of the template's own tokens, or what the template would not keep.
        UnsupportedConversation: the template has no place for this order of roles.
    """
    prompt = item.prompt
    turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    parts: list[str] = []
    before: Role | str = "start"
    for turn in turns:
        parts += [_separator(form, before, turn.role), _content(form, turn.role, turn.content)]
        before = turn.role
    last = "response" if before == "user" and "user>response" in form.joints else "assistant"
    parts += [_separator(form, before, last), _content(form, "response", item.response)]
    parts.append(_separator(form, "assistant", "end"))
    lengths = [len(part) for part in parts]
    return Rendered(
        text="".join(parts),
        prompt_start=lengths[0],
        prompt_end=sum(lengths[:-3]),
        response_start=sum(lengths[:-2]),
        response_end=sum(lengths[:-1]),
    )


def _separator(form: ChatFormat, before: str, after: str) -> str:
    joints: dict[str, str] = {str(key): text for key, text in form.joints.items()}
    key: TurnSeparator | str = f"{before}>{after}"
    if key not in joints:
        known = ", ".join(sorted(joints))
        raise UnsupportedConversation(f"the model's chat format has no turn {key}; it has {known}")
    return joints[key]


def _content(form: ChatFormat, turn: Turn, text: str) -> str:
    for token in form.control_tokens:
        if token in text:
            raise ControlTokenInText(
                f"a text contains the model's control token {token}; remove it (decode with skip_special_tokens)"
            )
    for words in form.rewritten.get(turn, ()):
        if words in text if words else not text.strip():
            raise ControlTokenInText(
                f"a text {f'contains {words}' if words else 'is blank'}, and the model's chat template would not keep "
                f"it so in a turn of this kind ({turn}); {'remove it' if words else 'leave the turn out'}"
            )
    return form.trim_of(turn).apply(text)


def safe_split_points(tokenizer: Tokenizer, separators: Iterable[str]) -> frozenset[str]:
    """Find the separators before which a chat may be split without changing a token, for any texts around them.

    A tokenizer finds its added tokens first and tokenizes the texts between them independently. So a split before a
    separator is exact if the separator begins with an added token that takes no white space from its left and is not
    normalized, and if no added token could lie across the split.
    """
    added = tokenizer.get_added_tokens_decoder().values()
    clean = [token.content for token in added if not (token.lstrip or token.normalized or token.single_word)]
    across = {token.content[i:] for token in added for i in range(1, len(token.content))}
    return frozenset(
        separator
        for separator in separators
        if any(separator.startswith(text) for text in clean) and not any(separator.startswith(tail) for tail in across)
    )


def _encode_chats(
    tokenizer: Tokenizer, form: ChatFormat, items: Sequence[ScoreItem], split_points: frozenset[str]
) -> list[Encoded]:
    rendered: list[Rendered | InvalidInput] = []
    for item in items:
        try:
            rendered.append(render_chat(item, form))
        except InvalidInput as error:
            rendered.append(error)
    good = [entry for entry in rendered if isinstance(entry, Rendered)]
    tokens = iter(_tokenize_chats(tokenizer, good, split_points))
    return [_truncate_chat(next(tokens), entry, form) if isinstance(entry, Rendered) else entry for entry in rendered]


def _tokenize_chats(
    tokenizer: Tokenizer, chats: Sequence[Rendered], split_points: frozenset[str]
) -> list[tuple[list[int], list[int]]]:
    """(ids, first characters) of each chat; a prompt that several chats begin with is tokenized once."""
    prompts = Counter(chat.text[: chat.prompt_end] for chat in chats)
    pieces = [
        (chat.text[: chat.prompt_end], chat.text[chat.prompt_end :])
        if chat.text[chat.prompt_end : chat.response_start] in split_points
        and prompts[chat.text[: chat.prompt_end]] > 1
        else (chat.text,)
        for chat in chats
    ]
    distinct = list(dict.fromkeys(piece for parts in pieces for piece in parts))
    raw = dict(zip(distinct, tokenizer.encode_batch(distinct, add_special_tokens=False), strict=True))
    return [_joined([raw[part] for part in parts], parts) for parts in pieces]


def _joined(raw: Sequence[RawEncoding], parts: Sequence[str]) -> tuple[list[int], list[int]]:
    ids: list[int] = []
    starts: list[int] = []
    before = 0
    for encoding, part in zip(raw, parts, strict=True):
        ids += encoding.ids
        starts += [before + start for start, _ in encoding.offsets]
        before += len(part)
    return ids, starts


def _truncate_chat(tokens: tuple[list[int], list[int]], rendered: Rendered, form: ChatFormat) -> Encoded:
    ids, starts = tokens
    cut = max(0, len(ids) - form.max_length)
    if cut == 0:
        return Encoding(tuple(ids), len(ids), 0)
    prompt = [i for i, s in enumerate(starts) if rendered.prompt_start <= s < rendered.prompt_end]
    response = [i for i, s in enumerate(starts) if rendered.response_start <= s < rendered.response_end]
    dropped = set((prompt + response)[:cut])
    if len(dropped) < cut:
        return UnsupportedConversation("the chat template alone is longer than max_length")
    kept = tuple(token for i, token in enumerate(ids) if i not in dropped)
    return Encoding(kept, len(kept), cut)
