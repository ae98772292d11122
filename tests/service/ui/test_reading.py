"""Versions and experiments: what the API says of them is on the pages, escaped, with drawings that hold the numbers."""

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.publish import write_version
from service.app import Service
from service.bundle.open import LoadedModel
from service.bundle.pointer_writer import set_aliases, writer
from service.bundle.store import read_verified
from service.experiments.report import Difference
from service.ui import draw
from tests.api import settings_for, with_api
from tests.service.api.test_experiments import with_admin, with_file
from tests.service.ui.pages import HOSTILE, PAIR, parsed, send


def republish(store: Path, version: Path, *aliases: str, **changes: Any) -> str:
    """The version again with another manifest."""
    files = read_verified(version)
    with writer(store, "tiny") as directory:
        digest = write_version(directory, files.manifest.model_copy(update=changes), files.contents)
        set_aliases(directory, dict.fromkeys(aliases, digest))
    return digest


def test_versions_show_their_manifest_and_curve(published_two: Path) -> None:
    """Each with aliases, state, facts, calibration before and after, and a dot a bin of the curve."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        page = parsed(await client.get("/ui/versions"))
        for digest, bundle in service.live.snapshot.resident.items():
            calibration = bundle.manifest.calibration
            assert calibration is not None
            assert calibration.after.curve
            for text in (digest, bundle.manifest.created, calibration.data_sha256, f"{calibration.before.nll:.3f}"):
                assert text in page.text
            for entry in (*calibration.before.curve, *calibration.after.curve):
                [dot] = draw.dots([entry])
                drawn = [given for tag, given in page.tags if tag == "circle"]
                assert any((given["cx"], given["cy"]) == (str(dot.x), str(dot.y)) for given in drawn)
        assert page.text.count("candidate") >= 2
        assert "active" in page.text

    with_api(settings_for(published_two), story)


def test_older_manifests_and_refused_versions(store: Path, version: Path) -> None:
    """No curve: a note. A damaged version is listed with its reason. A model's own text makes no tag."""
    manifest = read_verified(version).manifest
    assert manifest.calibration is not None
    plain = {name: getattr(manifest.calibration, name).model_copy(update={"curve": ()}) for name in ("before", "after")}
    provenance = manifest.provenance.model_copy(update={"source": HOSTILE, "data_sha256": {HOSTILE: "0" * 64}})
    changes = {"calibration": manifest.calibration.model_copy(update=plain), "provenance": provenance}
    republish(store, version, "stable", **changes)
    bad = republish(store, version, "candidate", sequence=2)
    damaged = version.parent / bad / "model.onnx"
    for path in (damaged.parent, damaged):
        path.chmod(0o755)
    damaged.write_bytes(b"damaged")

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        page = parsed(await client.get("/ui/versions"))
        assert "holds no reliability curve" in page.text
        assert page.text.count(HOSTILE) == 2
        assert "Refused" in page.text
        assert bad[:12] in page.text
        assert "size" in page.text
        assert not [tag for tag, _ in page.tags if tag == "circle"]

    with_api(settings_for(store), story)


def test_a_version_on_its_way(store: Path, version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown with its step, and then among the loaded ones."""
    go = threading.Event()

    def held(model: LoadedModel) -> None:
        if model.manifest.sequence == 2:
            go.wait(60)

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        second = await asyncio.to_thread(republish, store, version, "candidate", sequence=2)
        while "warming" not in (page := parsed(await client.get("/ui/versions"))).text:
            assert second[:12] not in page.text or "On their way" in page.text
            await asyncio.sleep(0)  # nothing on the way of that page waits, and the loader needs its turn
        assert second[:12] in page.text
        go.set()
        await service.live.refresh()
        page = parsed(await client.get("/ui/versions"))
        assert "On their way" not in page.text
        assert second in page.text

    monkeypatch.setattr("service.versions.loader.warm_up", held)
    with_api(settings_for(store), story)


def test_watch_figures(published: Path) -> None:
    """Lately: the gauges of the version."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        assert "Too few rewards" in parsed(await client.get("/ui/versions")).text
        for number in range(30):
            item = {"prompt": f"p{number}", "response": "a word " * number}
            (await client.post("/rm/v1/score", json={"items": [item]})).raise_for_status()
        await service.watch.refresh()
        page = parsed(await client.get("/ui/versions"))
        assert "reward length correlation" in page.text
        assert "score psi noise floor" in page.text

    with_api(settings_for(published, watch={"min_items": 20}), story)


def test_an_experiment_with_its_intervals(published_two: Path, tmp_path: Path) -> None:
    """Arms, verdict with reasons, and each interval drawn where the report puts it, zero line in the middle."""
    key = {"authorization": "Bearer the-admins-own-key"}
    settings = with_admin(tmp_path) | with_file(tmp_path)

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        empty = parsed(await client.get("/ui/experiments/tone"))
        assert "No vote has predictions of both versions" in empty.text
        since = {"id": "v0", "voter": "p", "vote": "a", **PAIR}
        votes = [{**since, "id": f"v{n}", "prompt": f"Question {n}?", "voter": f"p{n % 3}"} for n in range(24)]
        (await client.post("/rm/v1/feedback", json={"votes": votes}, headers=key)).raise_for_status()
        report: dict[str, Any] = {}
        while not report or report["counts"]["votes"] < len(votes):
            reply = await client.get("/rm/v1/experiments/tone/report")
            report = reply.json()["arms"][0]["report"]
        listed = parsed(await client.get("/ui/experiments"))
        assert "running" in listed.text
        page = parsed(await client.get("/ui/experiments/tone"))
        while "24 votes" not in page.text:  # the page's report may be five seconds old
            page = parsed(await client.get("/ui/experiments/tone"))
        assert "may be looked at at any time" in page.text
        assert "Too few votes: 24 decided ones, 200 are needed." in page.text
        drawn = [given["aria-label"] or "" for _, given in page.tags if given.get("class") == "span"]
        accuracy = report["differences"]["accuracy"]
        low, high = (f"{100 * accuracy[end]:+.4f}".replace("-", "−") for end in ("low", "high"))
        assert any(label.startswith("Accuracy") and low in label and high in label for label in drawn)
        assert [given for tag, given in page.tags if tag == "line" and given["class"] == "zero"]
        assert "Not found" in parsed(await client.get("/ui/experiments/other"), 404).text

    with_api(settings_for(published_two, **settings), story)


def test_experiments_that_are_off(published: Path) -> None:
    """The page says what would turn them on."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        assert "experiments.file" in parsed(await client.get("/ui/experiments")).text
        reply = await client.get("/ui/experiments/%3Cscript%3E")
        assert "script>" not in parsed(reply, 404).text

    with_api(settings_for(published), story)


def test_a_keyed_service_s_report(published_two: Path, tmp_path: Path) -> None:
    """The list's button carries the key on, in a form."""
    (tmp_path / "score").write_text("scoring-key")

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        listed = parsed(await send(client, "/ui/experiments", {"key": "scoring-key"}))
        assert listed.fields["key"] == ["scoring-key"]
        page = parsed(await send(client, "/ui/experiments/tone", {"key": "scoring-key"}))
        assert "no database is configured" in page.text

    more = with_file(tmp_path)
    with_api(settings_for(published_two, keys={"score_file": tmp_path / "score"}, **more), story)


def test_files_are_served_with_the_pages_headers(published: Path) -> None:
    """Style, script and icon; nothing in them names another host."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        for name, kind in (("style.css", "text/css"), ("page.js", "text/javascript"), ("icon.svg", "image/svg+xml")):
            reply = await client.get(f"/ui/{name}")
            assert reply.headers["content-type"].startswith(kind)
            assert reply.headers["content-security-policy"]
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", reply.text)

    with_api(settings_for(published), story)


FINITE = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(FINITE, min_size=3, max_size=3).map(sorted))
def test_a_span_is_where_its_numbers_are(ends: list[float]) -> None:
    """Order is kept, everything is on the axis, and zero is in the middle."""
    low, estimate, high = ends
    span = draw.span(Difference(estimate, low, high, None, 1, True))
    left, right = draw.MIDDLE - draw.REACH, draw.MIDDLE + draw.REACH
    assert left <= span.low <= span.estimate <= span.high <= right
    assert span.limit >= max(abs(low), abs(high)) * (1 - 1e-6)
    assert (span.low < draw.MIDDLE) <= (low < 0)


@pytest.mark.parametrize(
    ("value", "limit"), [(0.0, 1.0), (5e-324, 1.0), (0.03, 0.05), (0.0017, 0.002), (7.0, 10.0), (0.2, 0.2)]
)
def test_the_ends_of_an_axis_are_round(value: float, limit: float) -> None:
    assert draw.span(Difference(0, -value, value, None, 1, True)).limit == limit
