"""Encodes whole texts and token ids, as clients of other servers send them, or refuses them.

Texts longer than max_length are truncated from the left, so that their end is always read.
"""

from collections.abc import Sequence

from tokenizers import Tokenizer

from service.bundle.formats import ChatFormat, PairFormat
from service.domain import Encoding, RawText, RawTokens, ScoreItem
from service.errors import ControlTokenInText, InvalidInput, TextTooLong, UnsupportedConversation

_SAMPLES = ("a", "1", ".", "A", "0", "c", "\u4e2d", " ")
LEAST_OVERLAP = 32
"""Characters: a shorter overlap of prompt and text may be chance."""


def as_pair(item: RawText) -> ScoreItem | InvalidInput:
    """Split a text after its prompt, for a model that reads prompt and response separately.

    A trainer that had to cut a long prompt from its left sends a text that begins with the prompt's end; the whole
    prompt is at hand, so that is what is scored.
    """
    if item.prompt is None:
        return UnsupportedConversation(
            "this model reads prompt and response apart, and one text without special tokens does not say where the "
            "response begins: send the prompt too, or use /rm/v1/score"
        )
    if item.text.startswith(item.prompt):
        return ScoreItem(item.prompt, item.text[len(item.prompt) :])
    seen = overlap(item.prompt, item.text)
    if seen < LEAST_OVERLAP:
        return InvalidInput("the text does not begin with its prompt, so the response cannot be told from it")
    return ScoreItem(item.prompt, item.text[seen:])


def overlap(prompt: str, text: str) -> int:
    """Length of the longest beginning of `text` that `prompt` ends with (Knuth, Morris and Pratt: linear)."""
    if not text:
        return 0
    borders = [0] * len(text)
    found = 0
    for place in range(1, len(text)):
        found = _extended(found, text, borders, text[place])
        borders[place] = found
    found = 0
    for character in prompt:
        found = _extended(borders[found - 1] if found == len(text) else found, text, borders, character)
    return found


def _extended(found: int, text: str, borders: list[int], character: str) -> int:
    while found and text[found] != character:
        found = borders[found - 1]
    return found + (text[found] == character)


def encode_texts(
    tokenizer: Tokenizer, form: PairFormat | ChatFormat, items: Sequence[RawText]
) -> list[Encoding | InvalidInput]:
    """One text each, as Hugging Face encodes a single text (pair models: [start] text [end], first segment only)."""
    raw = tokenizer.encode_batch_fast([item.text for item in items], add_special_tokens=False)
    frame = _around_one_text(tokenizer, form)
    encoded: list[Encoding | InvalidInput] = []
    for item, entry in zip(items, raw, strict=True):
        chosen = frame if item.special_tokens else ((), ())
        encoded.append(_framed(entry.ids, *chosen, form) if chosen is not None else _no_frame())
    return encoded


def encode_tokens(tokenizer: Tokenizer, form: PairFormat | ChatFormat, item: RawTokens) -> Encoding | InvalidInput:
    """Take ids as they are. Never truncated: the end of the prompt is not known."""
    if not item.ids:
        return InvalidInput("no tokens: there is nothing to score")
    known = tokenizer.get_vocab_size(with_added_tokens=True)
    if not all(0 <= token < known for token in item.ids):
        return InvalidInput(f"a token id is not of this model's vocabulary (0 to {known - 1})")
    if len(item.ids) > form.max_length:
        return TextTooLong(f"{len(item.ids)} tokens; this model reads {form.max_length}: cut them, keeping the end")
    return Encoding(item.ids, _second_segment(item.ids, form), 0)


def _around_one_text(
    tokenizer: Tokenizer, form: PairFormat | ChatFormat
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The special tokens before and after a single text; None where no sample text shows them."""
    if isinstance(form, PairFormat):
        return form.start_ids, form.end_ids
    if not tokenizer.encode("").ids:
        return (), ()
    for sample in _SAMPLES:
        bare, full = tokenizer.encode(sample, add_special_tokens=False).ids, tokenizer.encode(sample).ids
        places = [place for place in range(len(full) - len(bare) + 1) if full[place : place + len(bare)] == bare]
        if bare and len(places) == 1:
            return tuple(full[: places[0]]), tuple(full[places[0] + len(bare) :])
    return None


def _no_frame() -> UnsupportedConversation:
    return UnsupportedConversation(
        "where this tokenizer puts its special tokens cannot be told; send add_special_tokens false, or a conversation"
    )


def _framed(
    ids: list[int], start: tuple[int, ...], end: tuple[int, ...], form: PairFormat | ChatFormat
) -> Encoding | InvalidInput:
    if isinstance(form, PairFormat):
        if not form.control_ids.isdisjoint(ids):
            return ControlTokenInText("the text spells out one of the model's control tokens; remove it")
    else:  # a rendered template often begins with BOS already: a second one moves the reward
        if start and tuple(ids[: len(start)]) == start:
            ids = ids[len(start) :]
        if end and tuple(ids[-len(end) :]) == end:
            ids = ids[: -len(end)]
    room = form.max_length - len(start) - len(end)
    cut = max(0, len(ids) - room)
    whole = (*start, *ids[cut:], *end)
    if not whole:
        return InvalidInput("the text has no tokens: there is nothing to score")
    return Encoding(whole, len(whole), cut)


def _second_segment(ids: tuple[int, ...], form: PairFormat | ChatFormat) -> int:
    """The index at which the second token type begins: after the separator, which no text can hold."""
    if isinstance(form, ChatFormat) or not form.token_types:
        return len(ids)
    between, first = form.between_ids, len(form.start_ids)
    for place in range(first, len(ids) - len(form.end_ids) - len(between) + 1):
        if ids[place : place + len(between)] == between:
            return place + len(between)
    return len(ids)
