"""What the tests of the pages share: settings, forms as a browser sends them, pages as it reads them."""

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

from service.settings import Settings
from tests.api import settings_for

KEY = "voting-key"
PAIR = {"prompt": "Name a prime.", "response_a": "Eleven.", "response_b": "Twelve."}
HOSTILE = "</textarea></div><script src=//evil.example></script><img src=x onerror=alert(1)> \" ' {{ 7 * 7 }}"
FORM = "application/x-www-form-urlencoded"


def with_votes(store: Path, folder: Path, *, remember: bool = True, **more: Any) -> Settings:
    """Feedback, remembered pairs and a feedback key."""
    (folder / "feedback").write_text(KEY)
    (folder / "score").write_text("scoring-key")
    files = {"feedback_file": folder / "feedback", **more.pop("keys", {})}
    feedback = {"url": f"sqlite:///{folder / 'votes.db'}", "remember": remember}
    return settings_for(store, keys=files, feedback=feedback, **more)


class Page(HTMLParser):
    """The parsed page: its tags, its visible text, the fields of its forms."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.fields: dict[str, list[str]] = {}
        self.text = ""
        self._area: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        name, value = given.get("name"), given.get("value")
        if tag == "textarea":
            self._area = name or ""
            self.fields.setdefault(self._area, []).append("")
        if tag == "input" and name and (given.get("type") not in {"radio", "checkbox"} or "checked" in given):
            self.fields.setdefault(name, []).append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area is None:
            self.text += data
        else:
            before = self.fields[self._area]
            # A browser drops the line end right after the tag.
            before[-1] += data.removeprefix("\n") if not before[-1] else data


def parsed(reply: httpx.Response, status: int = 200) -> Page:
    """A reply of a page, after checking what every one of them promises."""
    assert reply.status_code == status, reply.text
    headers = reply.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in headers
    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert "unsafe" not in headers["content-security-policy"]
    page = Page(reply.text)
    for tag, given in page.tags:
        assert not any(name == "style" or name.startswith("on") for name in given), (tag, given)
        assert tag not in {"style", "iframe", "img"}, tag
        for name in ("src", "href", "action", "formaction"):
            assert (given.get(name) or "/ui").startswith(("/ui", "#")), (tag, given)
    assert [given for tag, given in page.tags if tag == "script"] == [{"src": "/ui/page.js", "defer": None}]
    return page


async def send(
    client: httpx.AsyncClient, path: str, fields: Mapping[str, str | Sequence[str]], **headers: str
) -> httpx.Response:
    """A form as a browser sends it: line ends are CRLF."""
    ended = {name: [value] if isinstance(value, str) else value for name, value in fields.items()}
    data = {name: [text.replace("\n", "\r\n") for text in values] for name, values in ended.items()}
    return await client.post(path, data=data, headers=headers)
