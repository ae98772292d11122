"""A prompt, its answers, and what chosen versions say of them. Scores as `/rm/v1/compare` does."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from string import ascii_uppercase
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from plurality.core.errors import PluralityError
from service.bundle.pointer import DEFAULT_ALIAS
from service.domain import ScoreItem
from service.errors import MalformedRequest
from service.scoring import Scored
from service.ui.access import Parts, form_of, refused, status_of
from service.ui.forms import Form
from service.ui.render import page
from service.versions.resident import Snapshot
from service.wire import Model, PreferencePair, ScoredItem

MOST_ANSWERS = 6
MOST_VERSIONS = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """A version that may be asked."""

    selector: str
    name: str
    chosen: bool


async def playground(parts: Parts, request: Request) -> Response:
    """The form; after it was sent, the scores beside it."""
    form = await form_of(request)
    if reply := refused(parts, request, form, here="playground"):
        return reply
    results: list[dict[str, Any]] = []
    problem: str | None = None
    status, headers = 200, dict[str, str]()
    if form.text("do") == "score":
        try:
            results = await _scores(parts, request, form)
        except PluralityError as error:
            problem = error.message
            status, headers = status_of(parts, error)
    return page(
        "playground.html",
        status=status,
        headers=headers,
        here="playground",
        prompt=form.text("prompt"),
        answers=_fields(form),
        letters=ascii_uppercase,
        most=MOST_ANSWERS,
        choices=choices(parts.live.snapshot, form.texts("version")),
        results=results,
        problem=problem,
        keyed=parts.keys.configured("score"),
        key=form.text("key"),
    )


def choices(snapshot: Snapshot, chosen: Sequence[str]) -> list[Choice]:
    """Every loaded version; those of the alias `stable` are chosen unless others were."""
    aliases, found = _aliases(snapshot), []
    for digest, bundle in snapshot.resident.items():
        manifest = bundle.manifest
        selector = f"{manifest.model}@{digest}"
        usual = DEFAULT_ALIAS in aliases.get(digest, ())
        known_as = ", ".join(aliases.get(digest, ["no alias"]))
        name = f"{manifest.model} {digest[:8]} ({known_as}; {manifest.objective}, {manifest.precision})"
        found.append(Choice(selector, name, selector in chosen if chosen else usual))
    return sorted(found, key=lambda choice: choice.name)


def _aliases(snapshot: Snapshot) -> dict[str, list[str]]:
    """Of each version that has some, by digest."""
    found: dict[str, list[str]] = {}
    for names in snapshot.aliases.values():
        for alias, bundle in sorted(names.items()):
            found.setdefault(bundle.digest, []).append(alias)
    return found


def _fields(form: Form) -> list[str]:
    """Return the answers' texts as sent, padded to two fields, plus an empty one on request."""
    texts = form.texts("answer")[:MOST_ANSWERS]
    texts += [""] * (2 - len(texts))
    return [*texts, ""] if form.text("do") == "add" and len(texts) < MOST_ANSWERS else texts


async def _scores(parts: Parts, request: Request, form: Form) -> list[dict[str, Any]]:
    given = form.texts("answer")
    if len(given) > MOST_ANSWERS:
        raise MalformedRequest(f"at most {MOST_ANSWERS} answers at once")
    answers = [(letter, text) for letter, text in zip(ascii_uppercase, given, strict=False) if text.strip()]
    if len(answers) < 2:
        raise MalformedRequest("Write two answers or more: a reward says something beside another of the same prompt.")
    models = form.texts("version")
    if not 0 < len(models) <= MOST_VERSIONS:
        raise MalformedRequest(f"Choose a version, {MOST_VERSIONS} at most.")
    items = [ScoreItem(form.text("prompt"), text) for _, text in answers]
    scored = await parts.caller.score_each(request, items, models=models)
    aliases, letters = _aliases(parts.live.snapshot), [letter for letter, _ in answers]
    return [_result(one, letters) | {"aliases": aliases.get(one.digest, [])} for one in scored]


def _result(scored: Scored, letters: Sequence[str]) -> dict[str, Any]:
    answers = list(zip(letters, scored.outcomes, strict=True))
    return {
        "model": Model.of(scored.manifest, scored.digest),
        "scores": [(letter, ScoredItem.of(outcome)) for letter, outcome in answers],
        "pairs": [
            (first, second, PreferencePair.of(one, other, scored.calibrator))
            for (first, one), (second, other) in combinations(answers, 2)
        ],
    }
