"""What the pages stand on, and who may see them."""

from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response

from plurality.core.errors import PluralityError
from service.api.calls import RequestScorer
from service.api.errors import STATUS
from service.api.keys import Keys
from service.drift.monitor import Watch
from service.errors import Overloaded, Unauthorized, Unavailable
from service.experiments.running import Experiments
from service.feedback.intake import Intake
from service.feedback.running import Feedback
from service.ui.forms import EMPTY, Form, read_form
from service.ui.render import failure_page, page
from service.versions.live import Live

_OURS = {None, "same-origin", "none"}
WRONG_KEY = "This key does not open scoring."


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pages show."""

    caller: RequestScorer
    live: Live
    keys: Keys
    feedback: Feedback
    intake: Intake
    experiments: Experiments
    watch: Watch


async def form_of(request: Request) -> Form:
    """The form of a POST; an empty one of a GET. Raises MalformedRequest."""
    return read_form(await request.body()) if request.method == "POST" else EMPTY


def refused(parts: Parts, request: Request, form: Form, *, here: str) -> Response | None:
    """The page that is answered instead, to another site's form, or where scoring needs a key that is not there.

    Browsers say where a request comes from; a form on another site could otherwise have its visitors' browsers score.
    """
    if request.headers.get("sec-fetch-site") not in _OURS and request.method == "POST":
        return failure_page(403, "This form was sent from another site.", request.scope["request_id"])
    if here == "vote" or not parts.keys.configured("score"):
        return None
    try:
        if "authorization" in request.headers:
            parts.keys.require(request, "score")
        else:
            parts.keys.admit(form.text("key"), "score")
    except Unauthorized:
        problem = WRONG_KEY if form.text("key") else None
        return page("locked.html", status=401, here=here, path=request.url.path, problem=problem)
    return None


def status_of(parts: Parts, error: PluralityError) -> tuple[int, dict[str, str]]:
    """Status and headers of an error that a page shows among other things."""
    headers = {"retry-after": str(error.retry_after_s)} if isinstance(error, Unavailable) else {}
    return parts.caller.overload.status if isinstance(error, Overloaded) else STATUS[type(error)], headers
