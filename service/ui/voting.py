"""The voting screen: the three tasks of the first paper's annotator guidelines (arXiv 2412.03822, appendix).

Blind: no version and no reward is shown. Which answer is called A is drawn at each view, and undone before storing.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import Response

from plurality.core.errors import PluralityError
from plurality.core.pairs import ResponsePair
from service.errors import FeedbackConflict, InvalidInput, MalformedRequest, Unauthorized, UnknownReply
from service.feedback.records import ScoredPair
from service.feedback.running import FeedbackBackend
from service.feedback.tables import pair_key
from service.feedback.wire import VOTER, WireVote
from service.ui.access import Parts, form_of, refused, status_of
from service.ui.forms import Form
from service.ui.render import page
from service.wire import malformed

TASKS = {
    "task1": {"single": "There is only one single correct choice to this prompt.",
              "multiple": "There are multiple possible correct answers to this prompt."},
    "task2": {"indistinguishable": "Both choices are essentially the same content, just with minor stylistic "
                                   "variations.",
              "distinguishable": "The two choices are clearly different from each other and distinguishable."},
}  # fmt: skip
SCALE = tuple(range(10, -1, -1))
"""Of ten people, how many prefer answer A: 10A-0B ... 0A-10B. (The paper's last option repeats 10A-0B: a slip.)"""
_MOST_SKIPPED = 200
_REQUEST_ID = r"[A-Za-z0-9._:-]{1,128}"
_WRONG_KEY = "This key does not open voting."
_VOTER = "Give yourself a voter name of 1 to 64 letters, digits, - and _."


@dataclass(frozen=True, slots=True)
class Shown:
    """A pair on the screen."""

    pair: ResponsePair
    swapped: bool
    """Whether the pair's b is called A."""
    request_id: str = ""
    index: int = 0
    model: str = ""
    """Of a pair that was typed in."""

    @property
    def texts(self) -> tuple[str, str]:
        """Answer A and answer B, as shown."""
        both = self.pair.response_a, self.pair.response_b
        return (both[1], both[0]) if self.swapped else both


async def voting(parts: Parts, request: Request) -> Response:
    """The start, a pair to judge, or the next one after a vote."""
    form = await form_of(request)
    if reply := refused(parts, request, form, here="vote"):
        return reply
    if parts.feedback.kept is None or not parts.keys.configured("feedback"):
        return _screen(parts, Form({}), off=True)
    action = form.text("do")
    if action == "typed":
        return _typed(parts, form)
    if not action:
        return _screen(parts, form)
    shown = _given(form)
    try:
        _check_voter(parts, form)
        # Only now: a remembered pair is somebody's text.
        shown = shown or await _remembered(parts.feedback.kept, form)
        done = await _store(parts, form, shown) if action == "vote" else None
        return await _next(parts, form, shown, done)
    except PluralityError as error:
        status, headers = status_of(parts, error)
        known = not isinstance(error, Unauthorized)
        problem = error.message if known else _WRONG_KEY
        return _screen(parts, form, shown, problem=problem, known=known, status=status, headers=headers)


def _typed(parts: Parts, form: Form) -> Response:
    """The screen for a pair from the playground."""
    answers = [text for text in form.texts("answer") if text.strip()]
    if len(answers) != 2:
        return _screen(parts, form, problem="Voting is on two answers: write exactly two.", status=422)
    model = next(iter(form.texts("version")), "").partition("@")[0]
    return _screen(parts, form, Shown(ResponsePair(form.text("prompt"), *answers), _coin(), model=model))


def _coin() -> bool:
    return secrets.randbelow(2) == 1


def _check_voter(parts: Parts, form: Form) -> None:
    parts.keys.admit(form.text("feedback_key"), "feedback")
    if not re.fullmatch(VOTER, form.text("voter")):
        raise MalformedRequest(_VOTER, param="voter")


def _given(form: Form) -> Shown | None:
    """The pair that the form holds as a whole, if it does."""
    if not (form.text("response_a") or form.text("response_b")):
        return None
    pair = ResponsePair(form.text("prompt"), form.text("response_a"), form.text("response_b"))
    return Shown(pair, form.text("swapped") == "1", model=form.text("model"))


async def _remembered(kept: FeedbackBackend, form: Form) -> Shown | None:
    """The pair that the form names, if it names one."""
    request_id, index = form.text("request_id"), form.text("index")
    if not request_id:
        return None
    if not (re.fullmatch(_REQUEST_ID, request_id) and re.fullmatch(r"[0-9]{1,6}", index)):
        raise MalformedRequest("The form names no pair.")
    found = await kept.call(kept.recorder.find, request_id, int(index))
    if found is None:
        raise UnknownReply("This pair is no longer remembered. Ask for the next one.")
    return Shown(found.pair, form.text("swapped") == "1", request_id, int(index))


async def _store(parts: Parts, form: Form, shown: Shown | None) -> str:
    """Store the vote as POST /rm/v1/feedback does; says what became of it."""
    if shown is None:
        raise MalformedRequest("The form names no pair.")
    try:
        vote = msgspec.convert(_wire(form, shown), WireVote)
    except msgspec.ValidationError as error:
        raise malformed(error) from None
    try:
        [became] = await parts.intake.take([vote])
    except FeedbackConflict:
        return "You have voted on this pair before, and differently: the first vote stands."
    if isinstance(became, PluralityError):
        raise InvalidInput(became.message)
    return "Your vote is stored." if became == "stored" else "This vote was stored before."


def _wire(form: Form, shown: Shown) -> dict[str, Any]:
    """The vote's plain values. Its id is of voter and pair: one person's second vote on a pair is not another vote."""
    subject = form.choice("task1", tuple(TASKS["task1"]))
    clear = form.choice("task2", tuple(TASKS["task2"]))
    estimate = form.choice("estimate", [str(people) for people in SCALE])
    if subject is None or clear is None or estimate is None:
        raise MalformedRequest("Choose one option in each of the three tasks.")
    people = int(estimate)
    for_a = 10 - people if shown.swapped else people
    voter, key = form.text("voter"), pair_key(shown.pair)
    pair = shown.pair
    about: dict[str, Any] = {"request_id": shown.request_id, "index": shown.index}
    if not shown.request_id:
        about = {"prompt": pair.prompt, "response_a": pair.response_a, "response_b": pair.response_b}
        about["model"] = shown.model or None
    return {
        "id": "ui-" + hashlib.sha256(f"{voter} {key}".encode()).hexdigest()[:40],
        "voter": voter, "vote": {"a": for_a, "b": 10 - for_a}, "category": f"{subject}, {clear}", **about,
    }  # fmt: skip


async def _next(parts: Parts, form: Form, shown: Shown | None, done: str | None) -> Response:
    kept = parts.feedback.require()
    skipped = form.texts("skipped")[-_MOST_SKIPPED:]
    if form.text("do") == "skip" and shown:
        skipped.append(pair_key(shown.pair))
    if not parts.feedback.remember:
        return _screen(parts, form, done=done, known=True)
    found: ScoredPair | None = await kept.call(kept.recorder.next_unvoted_pair, form.text("voter"), skipped)
    pair = Shown(found.pair, _coin(), found.request_id, found.index) if found else None
    return _screen(parts, form, pair, done=done, known=True, skipped=skipped, none_left=pair is None)


def _screen(
    parts: Parts,
    form: Form,
    shown: Shown | None = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    done: str | None = None,
    problem: str | None = None,
    known: bool | None = None,
    skipped: list[str] | None = None,
    off: bool = False,
    none_left: bool = False,
) -> Response:
    """`known`: whether the key opens voting; None: it was not tried."""
    chosen = {name: form.text(name) for name in ("task1", "task2", "estimate")} if problem else {}
    return page(
        "vote.html",
        status=status,
        headers=headers,
        here="vote",
        off=off,
        no_database=parts.feedback.kept is None,
        no_key=not parts.keys.configured("feedback"),
        remember=parts.feedback.remember,
        shown=shown,
        chosen=chosen,
        tasks=TASKS,
        scale=SCALE,
        voter=form.text("voter"),
        key="" if known is False else form.text("feedback_key"),
        refused=known is False,
        entered=known is True,
        skipped=skipped if skipped is not None else form.texts("skipped"),
        none_left=none_left,
        done=done,
        problem=problem,
    )
