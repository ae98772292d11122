"""Automatic rollback of a version that answers NaN or fails too often, and how long it lasts."""

import asyncio
from pathlib import Path

import httpx
import numpy as np
from onnx import helper, numpy_helper

from service.app import Service
from service.bundle.pointer_writer import set_aliases, writer
from service.domain import ScoreItem, ScoreQuery
from service.errors import NonFiniteReward
from service.settings.groups import RollbackSettings
from service.versions.health import Health
from tests.api import settings_for, with_api
from tests.fakes import ManualClock
from tests.service.versions.test_candidates import quiet, stamp
from tests.stamped import graph, plant, publish_stamped

UNKNOWN = ScoreItem("an unknown word", "w1")
"""Its tokens are of no word of the model's: what `nan_on_unknown` answers NaN to."""


def nan_on_unknown(k: int) -> bytes:
    """Good on all that the self-test asks; NaN for texts with unknown words."""
    return graph(
        k,
        last=[
            helper.make_node("Equal", ["input_ids", "unknown"], ["is_unknown"]),
            helper.make_node("Cast", ["is_unknown"], ["ones"], to=1),
            helper.make_node("ReduceMax", ["ones"], ["any"], axes=[1], keepdims=1),
            helper.make_node("Sub", ["one", "any"], ["none"]),
            helper.make_node("Div", ["none", "none"], ["one_or_nan"]),
            helper.make_node("Mul", ["stamped", "one_or_nan"], ["bad"]),
        ],
        output="bad",
        constants=[
            numpy_helper.from_array(np.array([3], np.int64), "unknown"),
            numpy_helper.from_array(np.array([1], np.float32), "one"),
        ],
    )


def rollbacks(service: Service, cause: str) -> float:
    labels = {"model": "stamped", "cause": cause}
    return service.metrics.registry.get_sample_value("rm_model_rollbacks_total", labels) or 0.0


async def ask(service: Service, item: ScoreItem) -> object:
    query = ScoreQuery([item], None, asyncio.get_running_loop().time() + 60)
    return (await service.scorer.score(query)).outcomes[0]


def test_a_version_that_answers_nan_goes_back_by_itself(tmp_path: Path) -> None:
    """The caller gets the item's error, the next one the former version; looking at the store brings nothing back."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await asyncio.to_thread(plant, tmp_path, 2, {"model.onnx": nan_on_unknown(2)})
        await service.live.refresh()
        assert await stamp(service) == 2
        assert isinstance(await ask(service, UNKNOWN), NonFiniteReward)
        assert await stamp(service) == 1
        assert rollbacks(service, "non_finite") == 1
        await service.live.refresh()
        assert await stamp(service) == 1
        await asyncio.to_thread(publish_stamped, tmp_path, 3)
        await service.live.refresh()
        assert await stamp(service) == 3

    publish_stamped(tmp_path, 1)
    with_api(settings_for(tmp_path, repository=quiet()), story)


def test_nowhere_to_go_back_to(tmp_path: Path) -> None:
    """The only version goes on with what it can answer; with the automatism off any version does."""

    async def only(client: httpx.AsyncClient, service: Service) -> None:
        assert isinstance(await ask(service, UNKNOWN), NonFiniteReward)
        assert await stamp(service) == 2
        assert rollbacks(service, "non_finite") == 0

    async def off(client: httpx.AsyncClient, service: Service) -> None:
        await asyncio.to_thread(publish_stamped, tmp_path, 1)
        await service.live.refresh()
        with writer(tmp_path, "stamped") as model:
            set_aliases(model, {"stable": digest})
        await service.live.refresh()
        await only(client, service)

    digest = plant(tmp_path, 2, {"model.onnx": nan_on_unknown(2)})
    with_api(settings_for(tmp_path, repository=quiet()), only)
    with_api(settings_for(tmp_path, repository=quiet(), rollback={"automatic": False}), off)


def health(**rules: float) -> tuple[Health, ManualClock, list[str]]:
    base = {"within_s": 600.0, "window_s": 60.0, "error_ratio": 0.1, "min_items": 100, "non_finite": 2}
    clock, causes = ManualClock(), list[str]()
    made = Health(RollbackSettings(**(base | rules)), clock, causes.append)
    made.arm()
    return made, clock, causes


def test_the_ratio_of_failures() -> None:
    """Above the ratio, and only with enough items; one cause, once."""
    watched, _, causes = health()
    watched.note(items=50, failed=50, non_finite=0)
    assert causes == []
    watched.note(items=450, failed=0, non_finite=0)
    watched.note(items=1, failed=1, non_finite=0)
    assert causes == ["errors"]
    watched.note(items=1000, failed=1000, non_finite=1000)
    assert causes == ["errors"]


def test_the_window_slides() -> None:
    """What failed a while ago is forgotten; a version on probation no longer is left alone."""
    watched, clock, causes = health()
    watched.note(items=200, failed=19, non_finite=1)
    clock.now += 61
    watched.note(items=200, failed=19, non_finite=1)
    assert causes == []
    clock.now += 600
    watched.note(items=200, failed=200, non_finite=200)
    assert causes == []
    watched.arm()
    watched.note(items=200, failed=2, non_finite=2)
    assert causes == ["non_finite"]
