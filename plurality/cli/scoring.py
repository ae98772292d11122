"""Items through the service's own Scorer, without a server: for verbs that score a file."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from service.domain import Device

if TYPE_CHECKING:
    from service.domain import ScoreItem
    from service.scoring import Scored, Scorer

_WINDOW = 64
_NO_DEADLINE_S = 24 * 3600.0


@asynccontextmanager
async def scorer_of(store: Path | None, device: Device | None) -> "AsyncIterator[Scorer]":
    """The scorer of a store's versions; what is not given is as the environment says."""
    from service.app import build_service, running
    from service.settings import read_settings
    from service.telemetry.logs import configure_logs

    overrides = {"store": store, "log_level": "warning", "runtime": {"device": device, "engine": "in_process"}}
    settings = read_settings(overrides, os.environ)
    configure_logs(settings.log_level)
    async with running(build_service(settings)) as service:
        yield service.scorer


async def score_windows(
    scorer: "Scorer", items: "Sequence[ScoreItem]", selector: str | None
) -> "AsyncIterator[Scored]":
    """Score all items by the one version that the selector names at first, a window at a time and in order."""
    from service.domain import ScoreQuery

    deadline = asyncio.get_running_loop().time() + _NO_DEADLINE_S
    for start in range(0, len(items), _WINDOW):
        scored = await scorer.score(ScoreQuery(items[start : start + _WINDOW], selector, deadline))
        yield scored
        selector = f"{scored.manifest.model}@{scored.digest}"
