"""The page at /ui in real headless Chromium: accessible, keyboard alone, and whole without JavaScript."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.system.browser import KEY, Site, site, traffic

HEADINGS = ("Playground", "Versions", "Experiments", "Experiment tone", "Vote")
PAGES = ("/ui", "/ui/versions", "/ui/experiments", "/ui/experiments/tone", "/ui/vote", "/ui/nothing")
PROMPT = "Name a prime number above ten."
FOCUSED = """() => {
  const at = document.activeElement, style = getComputedStyle(at);
  return {tag: at.tagName, type: at.type ?? "", text: at.innerText ?? "", name: at.name ?? "",
          seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2};
}"""
LOOKS = pytest.mark.parametrize(
    ("dark", "narrow"),
    [(False, False), (False, True), (True, False), (True, True)],
    ids=["light-wide", "light-narrow", "dark-wide", "dark-narrow"],
)


@pytest.fixture(scope="module")
def opened(published_two: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service that has scored and been voted on, and a browser."""
    with site(published_two, tmp_path_factory.mktemp("site")) as found:
        traffic(found.served.api)
        yield found


def accessible(page: Page) -> None:
    """No violation that axe knows of, and nothing sticks out of the window."""
    found: dict[str, Any] = Axe().run(page).response
    assert [(entry["id"], [node["target"] for node in entry["nodes"]]) for entry in found["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def write_pair(page: Page) -> None:
    page.goto("/ui")
    page.get_by_label("Prompt").fill(PROMPT)
    page.get_by_label("Answer A").fill("Eleven.\nIt has no divisors but one and itself.")
    page.get_by_label("Answer B").fill("Twelve.")


@LOOKS
def test_every_page_is_accessible(opened: Site, tmp_path: Path, dark: bool, narrow: bool) -> None:
    """By day and night, on a desk and on a phone; the pictures stay in the test's folder, to be looked at."""
    with opened.tab(dark=dark, narrow=narrow, expect_failures=1) as page:
        for number, path in enumerate(PAGES):
            page.goto(path)
            for part in page.locator("details").all():
                part.evaluate("part => { part.open = true; }")
            accessible(page)
            page.screenshot(path=tmp_path / f"{number}.png", full_page=True)
    with opened.tab(dark=dark, narrow=narrow) as page:
        write_pair(page)
        press(page, "Add an answer")
        page.get_by_label("Answer C").fill("word " * 700)
        for box in page.get_by_role("checkbox").all():
            box.check()
        press(page, "Score")
        expect(page.get_by_role("article")).to_have_count(2)
        expect(page.get_by_text("cut by")).to_have_count(2)
        accessible(page)
        page.screenshot(path=tmp_path / "scores.png", full_page=True)
        page.goto("/ui/vote")
        page.get_by_label("Voter name").fill(f"looker-{dark}-{narrow}")
        page.get_by_label("Feedback key").fill(KEY)
        press(page, "Begin")
        expect(page.get_by_role("heading", name="Answer B")).to_be_visible()
        accessible(page)
        page.screenshot(path=tmp_path / "vote.png", full_page=True)


def tab_to(page: Page, name: str, kind: str = "") -> None:
    """Go on with the Tab key to a field or a button, seeing the focus at each step."""
    for _ in range(60):
        page.keyboard.press("Tab")
        at = page.evaluate(FOCUSED)
        assert at["seen"], at
        if name in {at["name"], at["text"]} and kind in {"", at["type"]}:
            return
    raise AssertionError(f"Tab does not lead to {name}")


def test_a_vote_by_keyboard_alone(opened: Site) -> None:
    """From the first Tab to the stored vote; the way past the header is its first stop."""
    with opened.tab() as page:
        page.goto("/ui/vote")
        tab_to(page, "To the content")
        page.keyboard.press("Enter")
        tab_to(page, "voter")
        page.keyboard.type("keys-alone")
        tab_to(page, "feedback_key")
        page.keyboard.type(KEY)
        tab_to(page, "Begin")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Answer A")).to_be_visible()
        tab_to(page, "task1")
        page.keyboard.press("ArrowDown")
        tab_to(page, "task2")
        page.keyboard.press("Space")
        tab_to(page, "estimate")
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        expect(page.get_by_label("7A-3B")).to_be_checked()
        tab_to(page, "Vote", "submit")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("Your vote is stored.")
    [row] = exported(opened, "multiple, indistinguishable")
    assert row["label"] in {0.7, 0.3}


def exported(opened: Site, category: str) -> list[dict[str, Any]]:
    """Votes of a category, as they are exported."""
    headers = {"authorization": f"Bearer {KEY}"}
    reply = httpx.get(opened.served.api + "/rm/v1/feedback/export?rows=votes", headers=headers)
    rows: list[dict[str, Any]] = [httpx.Response(200, content=line).json() for line in reply.content.splitlines()]
    return [row for row in rows if row.get("category") == category]


def test_without_javascript(opened: Site) -> None:
    """Every page reads, and both forms work to the end."""
    with opened.tab(script=False, expect_failures=1) as page:
        for path, heading in zip(PAGES[:-1], HEADINGS, strict=True):
            page.goto(path)
            expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        write_pair(page)
        press(page, "Add an answer")
        expect(page.get_by_label("Answer A")).to_have_value("Eleven.\nIt has no divisors but one and itself.")
        press(page, "Score")
        expect(page.get_by_text("P(A preferred)").first).to_be_visible()
        write_pair(page)
        page.get_by_role("button", name="Vote on this pair").click()
        page.get_by_label("Voter name").fill("no-script")
        page.get_by_label("Feedback key").fill("wrong")
        page.get_by_label("only one single correct").check()
        page.get_by_label("clearly different").check()
        page.get_by_label("6A-4B").check()
        press(page, "Vote")
        expect(page.get_by_role("alert")).to_have_text("This key does not open voting.")
        expect(page.get_by_label("6A-4B")).to_be_checked()
        page.get_by_label("Feedback key").fill(KEY)
        press(page, "Vote")
        expect(page.get_by_role("status")).to_have_text("Your vote is stored.")
    [row] = [row for row in exported(opened, "single, distinguishable") if row["prompt"] == PROMPT]
    assert row["response_a"] == "Eleven.\nIt has no divisors but one and itself."


def test_keys_stay_in_the_tab(opened: Site) -> None:
    """In sessionStorage, so that the next form has them; in no cookie, no URL and no other tab. A wrong one is gone."""
    with opened.tab(expect_failures=1) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto("/ui/vote")
        page.get_by_label("Voter name").fill("in-tab")
        page.get_by_label("Feedback key").fill(KEY)
        press(page, "Begin")
        page.goto("/ui/vote")
        expect(page.get_by_label("Feedback key")).to_have_value(KEY)
        assert page.context.cookies() == []
        assert not [url for url in asked if KEY in url or "in-tab" in url or "?" in url]
        other = page.context.new_page()
        other.goto("/ui/vote")
        expect(other.get_by_label("Feedback key")).to_have_value("")
        page.get_by_label("Feedback key").fill("wrong")
        press(page, "Begin")
        expect(page.get_by_role("alert")).to_be_visible()
        page.wait_for_load_state()  # by then the page's script has run
        expect(page.get_by_label("Feedback key")).to_have_value("")
        assert page.evaluate("sessionStorage.getItem('plurality.feedback-key')") is None


def test_a_report_goes_on_by_itself(opened: Site) -> None:
    """A vote that comes while the page is open is seen without a reload, and what was unfolded stays so."""
    with opened.tab() as page:
        page.clock.install()
        page.goto("/ui/experiments/tone")
        page.get_by_text("Definition", exact=True).click()
        page.get_by_role("heading", level=1).click()
        page.evaluate("document.activeElement.blur(); window.mark = 1")
        before = page.get_by_text("people on").inner_text()
        vote = {"id": "late", "voter": "late", "vote": "b"}
        vote |= {"prompt": "A late one?", "response_a": "Yes.", "response_b": "No."}
        headers = {"authorization": f"Bearer {KEY}"}
        httpx.post(opened.served.api + "/rm/v1/feedback", json={"votes": [vote]}, headers=headers).raise_for_status()
        for _ in range(200):
            if page.get_by_text("people on").inner_text() != before:
                break
            with page.expect_response("**/ui/experiments/tone"):
                page.clock.run_for(10_000)
        assert page.get_by_text("people on").inner_text() != before
        expect(page.get_by_text("Least votes")).to_be_visible()
        assert page.evaluate("window.mark") == 1
