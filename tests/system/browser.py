"""Debian's Chromium, headless, against a real service with votes, an experiment and a refused version."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from model_export.sample_texts import sample_items
from tests.e2e.process import Served, serving
from tests.system.install import program

KEY = "a-feedback-key-for-tests"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
EXPERIMENT = """
experiments:
  - name: tone
    model: tiny
    control: current
    arms:
      - {name: current, version: stable, weight: 1}
      - {name: new, version: candidate, weight: 1}
    since: "2020-01-01T00:00:00+00:00"
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A running service and a browser."""

    served: Served
    browser: Browser

    @contextmanager
    def tab(
        self, *, dark: bool = False, narrow: bool = False, script: bool = True, expect_failures: int = 0
    ) -> Iterator[Page]:
        """A page in a context of its own. Whatever it logs as an error, or asks of another host, fails the test.

        Args:
            expect_failures: so many replies of 4xx are part of the test: the browser logs each.
        """
        context: BrowserContext = self.browser.new_context(
            base_url=self.served.api,
            color_scheme="dark" if dark else "light",
            viewport=NARROW if narrow else WIDE,  # type: ignore[arg-type]
            java_script_enabled=script,
        )
        troubles: list[str] = []
        context.on("request", lambda request: _only(self.served.api, request.url, troubles))
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        try:
            yield page
        finally:
            context.close()
        assert len(troubles) == expect_failures, troubles
        assert all("the server responded with a status of 4" in text for text in troubles), troubles


@contextmanager
def site(store: Path, folder: Path, **settings: str) -> Iterator[Site]:
    """A service with feedback, remembered pairs and an experiment, and a browser to look at it."""
    chromium = program("chromium")
    assert chromium is not None, "`make test-system` installs it"
    (folder / "keys").write_text(KEY)
    (folder / "experiments.yaml").write_text(EXPERIMENT)
    environment = {
        "KEYS__FEEDBACK_FILE": str(folder / "keys"),
        "FEEDBACK__URL": f"sqlite:///{folder}/votes.db",
        "FEEDBACK__REMEMBER": "true",
        "EXPERIMENTS__FILE": str(folder / "experiments.yaml"),
        "EXPERIMENTS__POLL_INTERVAL_S": "0.05",
        "WATCH__MIN_ITEMS": "20",
        "WATCH__PERIOD_S": "0.1",
        **settings,
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(f"PLURALITY_{name}", value)
        with serving(store) as served, sync_playwright() as playwright:
            # --no-sandbox: as root, in a container, Chromium has no other way.
            browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
            try:
                yield Site(served, browser)
            finally:
                browser.close()


def traffic(api: str, count: int = 40) -> None:
    """Scored pairs, which are remembered, and votes on them."""
    texts = [item for item in sample_items(40 * count, seed=3) if 0 < item.characters < 300]
    pairs = [
        {"prompt": str(one.prompt), "response_a": one.response, "response_b": two.response}
        for one, two in zip(texts[: 2 * count : 2], texts[1 : 2 * count : 2], strict=True)
    ]
    with httpx.Client(base_url=api, timeout=60) as client:
        for number, pair in enumerate(pairs):
            client.post("/rm/v1/preference", json={"pairs": [pair]}).raise_for_status()
            vote = {"id": f"v{number}", "voter": f"p{number % 5}", "vote": {"a": 7, "b": 3}, **pair}
            headers = {"authorization": f"Bearer {KEY}"}
            client.post("/rm/v1/feedback", json={"votes": [vote]}, headers=headers).raise_for_status()


def _only(api: str, url: str, troubles: list[str]) -> None:
    if not url.startswith(api):
        troubles.append(f"asked {url}")
