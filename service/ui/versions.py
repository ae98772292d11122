"""Every version: where it stands, what its manifest says, how well calibrated it is, what its rewards look like."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import Response

from service.api.schemas import ModelsResponse, ServedVersion
from service.bundle.manifest import Calibration, Manifest
from service.bundle.pointer import DEFAULT_ALIAS
from service.drift.drift_metrics import DRIFT_METRICS
from service.ui import draw
from service.ui.access import Parts, form_of, refused
from service.ui.render import page


async def versions(parts: Parts, request: Request) -> Response:
    """The page of all models."""
    if reply := refused(parts, request, await form_of(request), here="versions"):
        return reply
    snapshot = parts.live.snapshot
    shown = ModelsResponse.of(snapshot, parts.live.statuses)
    readings = parts.watch.readings()
    models: dict[str, list[dict[str, Any]]] = {}
    for entry in shown.versions:
        digest = entry.model.version
        card = _card(entry, snapshot.resident[digest].manifest, readings.get(digest, {}))
        models.setdefault(entry.model.name, []).append(card)
    for cards in models.values():
        cards.sort(key=_place)
    return page(
        "versions.html",
        here="versions",
        models=dict(sorted(models.items())),
        rejected=shown.rejected,
        pending=shown.pending,
        plot=draw,
        says=DRIFT_METRICS,
    )


def _place(card: Mapping[str, Any]) -> tuple[bool, bool, int]:
    """What answers by default comes first, then what an alias names, then the youngest."""
    aliases = card["aliases"]
    return DEFAULT_ALIAS not in aliases, not aliases, -card["model"].sequence


def _card(entry: ServedVersion, manifest: Manifest, readings: Mapping[str, float]) -> dict[str, Any]:
    calibration = manifest.calibration
    return {
        **msgspec.structs.asdict(entry),
        "manifest": manifest,
        "calibration": calibration,
        "curves": _curves(calibration) if calibration else {},
        "readings": readings,
    }


def _curves(calibration: Calibration) -> dict[str, list[draw.Dot]]:
    """Before and after; nothing where an older manifest has none."""
    found = {"before": draw.dots(calibration.before.curve), "after": draw.dots(calibration.after.curve)}
    return found if all(found.values()) else {}
