"""Finds the literal text that a chat template puts around turns, and how it changes the turns themselves.

Two rounds in the sandbox: marked turns show the text between them; then every turn is varied, alone, by white space and
by each word that the template's own code knows (one that drops `<think>...</think>` names it). What was found is kept
only if the service's own rendering with it equals the template's.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

from model_export.errors import UnsupportedModel
from model_export.template import Answer, Conversation, render_all
from service.bundle.formats import ChatFormat, Edge, Trim, Turn, TurnSeparator
from service.bundle.tokenize import render_chat
from service.domain import Message, Role, ScoreItem
from service.errors import InvalidInput

Roles = tuple[Role, ...]
_U: Roles = ("user", "assistant")
_S: Roles = ("system",)
_KEPT_TOGETHER: tuple[tuple[Roles, ...], ...] = (
    (_U, _U + _U, _U + _U + _U, _S + _U, _S + _U + _U),
    (_U, _U + _U, _U + _U + _U),
    (_U, _S + _U),
    (_U,),
    (_S + _U, _S + _U + _U),
    (_S + _U,),
)
"""Orders of roles, the most first: joints of one choice make exactly its conversations, and longer ones of the kind."""
_ORDERS = tuple(dict.fromkeys(roles for choice in _KEPT_TOGETHER for roles in choice))
_TEXTS = (
    "a", "Two\n\nlines", "émigré 中文 🙂", "1. list\n2. list", "ends with a dot.", "\n \t around\u3000\n\n",
    "long words " * 300, "<b>&amp;{{ x }}{% y %}\\n'\"</b>", "0",
)  # fmt: skip
_BLANKS = ("", " \n")
_MOST_WORDS = 200
_EDGES: dict[tuple[bool | None, bool | None], Edge] = {
    (False, False): "kept", (False, True): "newlines", (True, True): "spaces",
}  # fmt: skip
_PLAIN = {Trim(): False, Trim(left="spaces", right="spaces"): True}
_REASON = (
    "the chat template is not literal text around the turns; it cannot be kept as data. Give the tokenizer a "
    "chat_template that only puts text around the turns"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One order of roles, and the literal text before, between and after its turns."""

    roles: Roles
    pieces: tuple[str, ...]

    def kind(self, turn: int) -> Turn:
        return "response" if turn == len(self.roles) - 1 else self.roles[turn]

    def vary(self, turn: int, text: str) -> Conversation:
        """The marked conversation with one turn's text replaced."""
        return tuple((role, text if i == turn else _mark(i)) for i, role in enumerate(self.roles))

    def written(self, turn: int, rendered: str | None) -> str | None:
        """The rendering of that one text; None where the rest of the conversation changed too."""
        before = "".join(self.pieces[i] + _mark(i) for i in range(turn)) + self.pieces[turn]
        after = self.pieces[turn + 1] + "".join(_mark(i) + self.pieces[i + 1] for i in range(turn + 1, len(self.roles)))
        if rendered is None or len(rendered) < len(before) + len(after):
            return None
        inside = rendered.startswith(before) and rendered.endswith(after)
        return rendered[len(before) : len(rendered) - len(after)] if inside else None


@dataclass(frozen=True, slots=True)
class Probed:
    """A template's renderings of varied conversations, and the words that were inserted."""

    rendered: Mapping[Conversation, str | None]
    words: tuple[str, ...]


def introspect_chat(tokenizer: Any, form: ChatFormat) -> ChatFormat:
    """Complete `form` with the separators and changes of the tokenizer's template.

    Raises:
        UnsupportedModel: the template does more than put text around turns, or cannot be rendered within limits.
    """
    try:
        template = str(tokenizer.get_chat_template())
    except ValueError as error:
        raise UnsupportedModel(f"no chat template can be chosen: {error}") from None
    variables = tokenizer.special_tokens_map
    marked = [tuple((role, _mark(i)) for i, role in enumerate(roles)) for roles in _ORDERS]
    first = render_all(template, variables, marked)
    shapes = {shape.roles: shape for shape in _shapes(first)}
    words = tuple(
        word for word in first.literals if word.strip() and not any(token in word for token in form.control_tokens)
    )
    if len(words) > _MOST_WORDS:
        raise UnsupportedModel(_REASON)
    talks = list(dict.fromkeys(talk for shape in shapes.values() for talk in _asked(shape, words)))
    probed = Probed(dict(zip(talks, render_all(template, variables, talks).texts, strict=True)), words)
    for choice in _KEPT_TOGETHER:
        if all(roles in shapes for roles in choice):
            found = _fit([shapes[roles] for roles in choice], probed, form)
            if found is not None:
                return found
    raise UnsupportedModel(_REASON)


def _mark(turn: int) -> str:
    return f"Mark{turn}kraM"


_MARK = re.compile(r"Mark\dkraM")


def _shapes(marked: Answer) -> Iterator[Shape]:
    """The orders of roles whose every turn is written once, and in its place."""
    for roles, text in zip(_ORDERS, marked.texts, strict=True):
        marks = [_mark(i) for i in range(len(roles))]
        if text is not None and _MARK.findall(text) == marks:
            yield Shape(roles, tuple(_MARK.split(text)))


def _asked(shape: Shape, words: Sequence[str]) -> Iterator[Conversation]:
    for turn in range(len(shape.roles)):
        for text in (*_edges("x"), *_texts_with(words)):
            yield shape.vary(turn, text)
    yield from _agreement(shape)


def _edges(inner: str) -> tuple[str, str, str, str]:
    return f" {inner}", f"\n{inner}", f"{inner} ", f"{inner}\n"


def _texts_with(words: Sequence[str]) -> tuple[str, ...]:
    return (*_BLANKS, *(text for word in words for text in (*_alone(word), *_tagged(word))))


def _alone(word: str) -> tuple[str, ...]:
    """A word of the template's code where a text may have it."""
    return (word, f"{word}x", f"x{word}", f"x{word}x")


def _tagged(word: str) -> tuple[str, ...]:
    """The same with its closing tag."""
    return (f"{word}x{_closing(word)}", f"x{word}\nx\n{_closing(word)}\n\nx")


def _closing(word: str) -> str:
    return f"{word[0]}/{word[1:]}"


def _agreement(shape: Shape) -> Iterator[Conversation]:
    for shift in range(len(_TEXTS)):
        yield tuple((role, _TEXTS[(shift + i) % len(_TEXTS)]) for i, role in enumerate(shape.roles))


def _fit(shapes: Sequence[Shape], probed: Probed, form: ChatFormat) -> ChatFormat | None:
    """The format that makes these conversations as the template does; None where no format of ours can."""
    joints = _joints(shapes)
    trims = _trims(shapes, probed)
    if joints is None or trims is None:
        return None
    if (rewritten := _rewritten(shapes, probed, trims)) is None:
        return None
    # One flag where it says all: manifests of most models stay as they were.
    edges = set(trims.values())
    trim = trims if len(edges) > 1 or not edges <= _PLAIN.keys() else _PLAIN[edges.pop()]
    found = form.model_copy(update={"joints": joints, "trim": trim, "rewritten": rewritten})
    return found if all(_agrees(found, talk, probed) for shape in shapes for talk in _agreement(shape)) else None


def _joints(shapes: Sequence[Shape]) -> dict[TurnSeparator, str] | None:
    joints: dict[str, str] = {}
    for shape in shapes:
        around = ("start", *shape.roles, "end")
        keys = [f"{before}>{after}" for before, after in pairwise(around)]
        keys[-2] = "user>response"
        for key, piece in zip(keys, shape.pieces, strict=True):
            if joints.setdefault(key, piece) != piece:
                return None
    if joints.get("user>assistant", joints["user>response"]) == joints["user>response"]:
        joints["user>assistant"] = joints.pop("user>response")
    return cast("dict[TurnSeparator, str]", joints)


def _trims(shapes: Sequence[Shape], probed: Probed) -> dict[Turn, Trim] | None:
    trims: dict[Turn, Trim] = {}
    for shape in shapes:
        for turn in range(len(shape.roles)):
            found = [shape.written(turn, probed.rendered[shape.vary(turn, text)]) for text in _edges("x")]
            left, right = _edge(found[:2], _edges("x")[:2]), _edge(found[2:], _edges("x")[2:])
            if left is None or right is None:
                return None
            trim = Trim(left=left, right=right)
            if trims.setdefault(shape.kind(turn), trim) != trim:
                return None
    return trims


def _edge(found: Sequence[str | None], asked: Sequence[str]) -> Edge | None:
    space, newline = (
        None if text not in {"x", whole} else text == "x" for text, whole in zip(found, asked, strict=True)
    )
    return _EDGES.get((space, newline))


def _rewritten(
    shapes: Sequence[Shape], probed: Probed, trims: Mapping[Turn, Trim]
) -> dict[Turn, tuple[str, ...]] | None:
    """Words, by the kind of turn, whose texts the template changes; None where no word of a text can be blamed."""
    found: dict[Turn, tuple[str, ...]] = {}
    for kind, trim in trims.items():
        asked = [
            (text, shape.written(turn, probed.rendered[shape.vary(turn, text)]))
            for shape in shapes
            for turn in range(len(shape.roles))
            if shape.kind(turn) == kind
            for text in _texts_with(probed.words)
        ]
        changed = {text for text, written in asked if written != trim.apply(text)}
        alone = {word for word in probed.words if not changed.isdisjoint(_alone(word))}
        # A closing tag that is refused by itself clears its opening one.
        opening = {
            word for word in probed.words if _closing(word) not in alone and not changed.isdisjoint(_tagged(word))
        }
        if not all(_is_markup(word) for word in alone | opening):
            return None
        refused = {word for word in alone | opening if not any(other in word for other in (alone | opening) - {word})}
        if not changed.isdisjoint(_BLANKS):
            refused.add("")
        if refused:
            found[kind] = tuple(sorted(refused))
    return found


def _is_markup(word: str) -> bool:
    """Whether a word looks like markup, which a text hardly contains by chance: texts with it may be refused."""
    return len(word) >= 3 and not word.strip().replace(" ", "").isalnum()


def _agrees(form: ChatFormat, talk: Conversation, probed: Probed) -> bool:
    """Whether the service's rendering equals the template's."""
    turns = tuple(Message(cast("Role", role), text) for role, text in talk)
    try:
        return render_chat(ScoreItem(turns[:-1], turns[-1].content), form).text == probed.rendered[talk]
    except InvalidInput:
        return False
