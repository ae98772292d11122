"""Show a person how a model reads its input."""

from service.bundle.formats import ChatFormat, PairFormat
from service.bundle.tokenize import ItemTokenizer, render_chat
from service.domain import Encoding, ScoreItem

_EXAMPLE = ScoreItem("PROMPT", "RESPONSE")


def describe_format(tokenizer: ItemTokenizer) -> str:
    """The input format in a few lines, with an example as the model will read it."""
    form = tokenizer.format
    [encoding] = tokenizer.encode([_EXAMPLE])
    ids = list(encoding.ids) if isinstance(encoding, Encoding) else []
    if isinstance(form, PairFormat):
        tokens = " ".join(str(tokenizer.tokenizer.id_to_token(token)) for token in ids)
        types = "prompt and response differ by token type" if form.token_types else "no token types"
        return f"input format: pair, at most {form.max_length} tokens, {types}\n  {tokens}"
    turns = ", ".join(sorted(form.joints))
    text = render_chat(_EXAMPLE, form).text
    return (
        f"input format: chat, at most {form.max_length} tokens; turns it knows: {turns}"
        f"{_stripped(form)}{_refused(form)}\n  {text!r}\n  {len(ids)} tokens"
    )


def _stripped(form: ChatFormat) -> str:
    if isinstance(form.trim, bool):
        return "; strips white space around turns" if form.trim else ""
    edges = [
        f"{what} {where} {turn}"
        for turn, trim in sorted(form.trim.items())
        for where, what in (("before", trim.left), ("after", trim.right))
        if what != "kept"
    ]
    return f"; strips {', '.join(edges)}" if edges else ""


def _refused(form: ChatFormat) -> str:
    words = sorted({repr(words) if words else "blank texts" for found in form.rewritten.values() for words in found})
    return f"; refuses texts with what the template rewrites: {', '.join(words)}" if words else ""
