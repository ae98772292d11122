"""The composition root: the only place where parts meet. Opens in order, closes in reverse."""

import asyncio
import importlib.metadata
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import prometheus_client
from fastapi import FastAPI

from service.admission import Gate
from service.api.admin import admin_routes
from service.api.admin_wire import ADMIN_WIRE
from service.api.calls import RequestScorer
from service.api.compare import compare_routes
from service.api.compare_records import COMPARE_WIRE
from service.api.dialects import DIALECT_WIRE, binary_paths, dialects, probe_paths
from service.api.errors import ErrorReplies
from service.api.experiment_records import EXPERIMENT_WIRE
from service.api.experiments import experiment_routes
from service.api.feedback import WIRE as FEEDBACK_WIRE
from service.api.feedback import feedback_routes
from service.api.guard import Guard
from service.api.keys import Keys
from service.api.openapi import install_openapi
from service.api.paths import Paths, RouteGroup
from service.api.routes import WIRE, native_routes
from service.api.watch import WatchResponse, watch_routes
from service.drift.monitor import Watch
from service.engine.ort import check_runtime
from service.experiments.assign import PUBLIC_KEY, read_key
from service.experiments.predict import Predictor
from service.experiments.registry import Registry
from service.experiments.router import Router
from service.experiments.running import Experiments
from service.experiments.shadow import Shadows
from service.experiments.table import DefinitionTable
from service.feedback.database import FeedbackStore
from service.feedback.intake import Intake
from service.feedback.recorder import Recorder
from service.feedback.running import Feedback, FeedbackBackend
from service.scoring import Scorer
from service.settings import Settings
from service.settings.groups import FeedbackSettings
from service.telemetry.metrics import Metrics
from service.ui.access import Parts
from service.ui.render import PAGE
from service.ui.routes import BELOW, ui_routes
from service.versions.admin import Admin
from service.versions.live import Live
from service.versions.mirror import Mirror

_LAG_PERIOD_S = 0.5


@dataclass(frozen=True, slots=True)
class Service:
    """The long-lived parts of one process."""

    settings: Settings
    metrics: Metrics
    gate: Gate
    live: Live
    scorer: Scorer
    keys: Keys
    feedback: Feedback
    experiments: Experiments
    watch: Watch
    mirror: Mirror | None = None
    """Copies the store, where it is a URL."""


def build_service(settings: Settings) -> Service:
    """Wire the parts; nothing is loaded or listening yet. Needs a running event loop.

    Raises:
        ConfigurationError: the runtime cannot do what the settings ask, or a file of keys, a database or a URL is of
            no use.
    """
    check_runtime(settings.runtime.device)
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    clock = asyncio.get_running_loop().time
    metrics = Metrics(version=importlib.metadata.version("plurality"))
    limits = settings.limits
    gate = Gate(
        max_items=limits.max_queue_items,
        max_tokens=limits.max_queue_tokens,
        max_waiting=settings.overload.max_waiting,
        clock=clock,
    )
    period_s = settings.repository.poll_interval_s
    mirror = Mirror(settings.remote, settings.store, metrics, period_s=period_s) if settings.remote else None
    watch = Watch(settings.watch, clock, metrics.registry)
    live = Live(settings, metrics, clock, watch.observe, mirror.problem if mirror else None)
    scorer = Scorer(live, gate, limits, clock)
    feedback = _feedback(settings.feedback, metrics)
    experiments = _experiments(settings, live, gate, scorer, feedback, metrics, clock)
    return Service(settings, metrics, gate, live, scorer, Keys(settings.keys), feedback, experiments, watch, mirror)


def _feedback(settings: FeedbackSettings, metrics: Metrics) -> Feedback:
    """Nothing is connected yet; raises ConfigurationError."""
    if settings.url is None:
        return Feedback(None, remember=False)
    store = FeedbackStore(settings.url.get_secret_value())
    dropped = metrics.feedback_remember_dropped.inc
    recorder = Recorder(store, hours=settings.remember_hours, dropped=dropped, clock=time.time)
    return Feedback(FeedbackBackend(store, recorder), settings.remember)


def _experiments(
    settings: Settings,
    live: Live,
    gate: Gate,
    scorer: Scorer,
    feedback: Feedback,
    metrics: Metrics,
    clock: Callable[[], float],
) -> Experiments:
    """Definitions from the API, votes and predictions share feedback's database; raises ConfigurationError."""
    chosen, instruments = settings.experiments, metrics.experiments
    votes = feedback.kept.store if feedback.kept else None
    table = DefinitionTable(votes) if votes else None
    registry = Registry(chosen.file, table, instruments, poll_interval_s=chosen.poll_interval_s)
    shadows = Shadows(
        live, scorer, gate, instruments, max_items=chosen.shadow_items, max_load=chosen.background_load, clock=clock
    )
    key = read_key(chosen.key_file) if chosen.key_file else PUBLIC_KEY
    default = settings.default_model
    router = Router(registry, scorer, live, shadows, instruments, key=key, default_model=default, clock=clock)
    predictor = None
    if votes is not None:
        predictor = Predictor(
            registry, live, scorer, gate, votes, instruments,
            max_load=chosen.background_load, max_items=settings.limits.max_items_per_request,
            interval_s=chosen.poll_interval_s, clock=clock,
        )  # fmt: skip
    return Experiments(registry, router, shadows, table, predictor, votes)


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Service]:
    """Load the store's models and watch it; free everything at the end. The whole service, without HTTP."""
    lag = asyncio.create_task(_watch_lag(service.metrics), name="lag")
    watch = asyncio.create_task(service.watch.run(), name="reward-watch")
    try:
        if service.mirror:
            await service.mirror.open()
        async with service.feedback.running():
            await service.live.open()
            async with service.experiments.running():
                yield service
    finally:
        lag.cancel()
        watch.cancel()
        await asyncio.gather(lag, watch, return_exceptions=True)
        await service.live.aclose(timeout_s=service.settings.http.graceful_timeout_s)
        if service.mirror:
            await service.mirror.aclose()


def create_app(service: Service) -> Guard:
    """The API over an opened service: the guard, and the framework's application behind it."""
    app = FastAPI(
        title="Plurality",
        summary="Rewards and calibrated preference probabilities.",
        version=importlib.metadata.version("plurality"),
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name whatever host the client claims
    )
    settings = service.settings
    caller = RequestScorer(
        service.scorer, service.live, service.gate, settings.limits, settings.overload, service.experiments.router
    )
    feedback = service.feedback
    intake = Intake(feedback, service.live, service.metrics, longest=settings.limits.max_characters_per_item)
    remember = feedback.require().recorder.keep if feedback.remember else None
    route_groups: tuple[RouteGroup, ...] = (
        native_routes(caller, remember),
        compare_routes(caller),
        watch_routes(service.live, service.watch),
        experiment_routes(service.experiments, service.live, service.keys),
        admin_routes(Admin(service.live, settings)),
        *feedback_routes(feedback, intake),
        *dialects(caller, settings),
    )
    if settings.ui.enabled:
        pages = Parts(caller, service.live, service.keys, feedback, intake, service.experiments, service.watch)
        route_groups += (ui_routes(pages),)
    for group in route_groups:
        app.include_router(group.router)
    errors = ErrorReplies(overload_status=settings.overload.status)
    errors.install(app)
    install_openapi(
        app, (*WIRE, *COMPARE_WIRE, *EXPERIMENT_WIRE, *ADMIN_WIRE, *FEEDBACK_WIRE, WatchResponse, *DIALECT_WIRE)
    )
    unknown = [(BELOW, PAGE)] if settings.ui.enabled else []
    paths = Paths(
        route_groups, plain=("/docs", "/openapi.json"), binary=binary_paths(), probes=probe_paths(), unknown=unknown
    )
    return Guard(
        app,
        settings=settings.http,
        gate=service.gate,
        metrics=service.metrics,
        paths=paths,
        keys=service.keys,
        errors=errors,
    )


async def _watch_lag(metrics: Metrics) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_PERIOD_S
        await asyncio.sleep(_LAG_PERIOD_S)
        metrics.event_loop_lag.observe(max(0.0, loop.time() - due))
