"""Every metric, declared once, with one prefix and closed label sets. An object, not a module global."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from service.domain import Reward
from service.telemetry.experiments import ExperimentMetrics

SHORT_DIGEST = 12
_DURATION_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ENGINE_S = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 4)
_LOAD_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_ITEMS = tuple(2**power for power in range(9))
_TOKENS = tuple(2**power for power in range(4, 17))
_RATIO = tuple(step / 10 for step in range(11))
_SCORE = (-16, -8, -6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 16)


class Metrics:
    """The registry and every instrument of one process."""

    def __init__(self, *, version: str) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"rm_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"rm_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"rm_{name}", text, labels, registry=registry, buckets=buckets)

        self.requests = counter("requests", "Requests answered.", "route", "model", "version", "status")
        self.request_seconds = histogram("request_duration_seconds", "Time to answer.", _DURATION_S, "route")
        self.items = counter("items", "Items by what became of them.", "model", "version", "outcome")
        self.rejected = counter("rejected", "Requests refused before any work.", "reason")
        self.dropped = counter("dropped", "Queued items that never ran.", "model", "reason")
        self.deduplicated = counter("deduplicated_items", "Items that shared another's engine row.", "model")
        self.slowdown_factor = gauge(
            "engine_pace_ratio", "Measured over predicted time of an engine call.", "model", "version"
        )
        self.in_flight = gauge("in_flight_requests", "Requests being answered.")
        self.queue_items = gauge("queue_items", "Items waiting for the engine.", "model", "version")
        self.admitted_tokens = gauge("queue_tokens", "Tokens admitted and not yet answered.")
        self.queue_seconds = histogram("queue_duration_seconds", "Wait for the engine.", _DURATION_S, "model")
        self.tokenize_seconds = histogram("tokenize_duration_seconds", "Tokenizing a request.", _ENGINE_S, "model")
        self.inference_seconds = histogram(
            "inference_duration_seconds", "One engine call.", _ENGINE_S, "model", "version"
        )
        self.batch_items = histogram("batch_items", "Items in an engine call.", _ITEMS, "model")
        self.batch_tokens = histogram("batch_tokens", "Padded tokens in an engine call.", _TOKENS, "model")
        self.batch_padding = histogram("batch_padding_ratio", "Share of padding.", _RATIO, "model")
        self.input_tokens = counter("input_tokens", "Tokens scored, without padding.", "model")
        self.truncated = counter("truncated", "Items that were cut to max_length.", "model")
        self.score = histogram("score", "Rewards in calibrated units, (r - center) / T.", _SCORE, "model", "version")
        self.nonfinite = counter("nonfinite", "Items whose reward was NaN or infinite.", "model", "version")
        self.worker_restarts = counter(
            "engine_restarts", "Engine processes and scheduler workers that were replaced.", "model"
        )
        self.engine_progress = gauge(
            "engine_last_progress_timestamp_seconds", "When the last engine call ended.", "model"
        )
        self.model_info = gauge(
            "model_info",
            "1 for each resident version.",
            "model",
            "version",
            "objective",
            "precision",
            "calibrated",
        )
        self.model_load_seconds = histogram(
            "model_load_seconds", "Each step of a candidate.", _LOAD_S, "model", "phase"
        )
        self.model_state = gauge("model_state", "1 for the state that a version is in.", "model", "version", "state")
        self.model_age = gauge("model_age_seconds", "Since the version behind `stable` was made.", "model")
        self.model_rollbacks = counter("model_rollbacks", "Aliases sent back to a former version.", "model", "cause")
        self.model_load_failures = counter("model_load_failures", "Versions refused.", "model", "reason")
        self.model_swaps = counter("model_swaps", "Aliases moved to another version.", "model")
        self.store_generation = gauge("store_generation", "Generation of the pointer in force.", "model")
        self.store_up = gauge("store_up", "Whether the last look at the store worked.")
        self.store_last_poll = gauge("store_last_poll_timestamp_seconds", "When the store was last looked at.")
        self.feedback_votes = counter("feedback_votes", "Votes stored: binary, tie or graded.", "model", "kind")
        self.feedback_remember_dropped = counter(
            "feedback_remember_dropped", "Scored pairs not remembered: the database was too slow, or away."
        )
        self.event_loop_lag = histogram("event_loop_lag_seconds", "Delay of a timer.", _DURATION_S)
        self.draining = gauge("draining", "1 while this process shuts down.")
        self.experiments = ExperimentMetrics(registry)
        gauge("build_info", "1, labeled with the code's version.", "version").labels(version).set(1)

        self._answered: dict[tuple[str, str, str, int], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    def answered(self, route: str, model: str, version: str, status: int, *, seconds: float) -> None:
        """Count a request and its time. Label values are looked up once: it is done for every request."""
        key = (route, model, version, status)
        if (counter := self._answered.get(key)) is None:
            counter = self._answered[key] = self.requests.labels(route, model, version, str(status))
        if (histogram := self._seconds.get(route)) is None:
            histogram = self._seconds[route] = self.request_seconds.labels(route)
        counter.inc()
        histogram.observe(seconds)

    def render(self) -> bytes:
        """Prometheus text format. Takes milliseconds with many series: call it off the event loop."""
        return generate_latest(self.registry)


class ModelMetrics:
    """The metrics of one version, label values bound. Its series are removed when it is retired."""

    def __init__(
        self,
        metrics: Metrics,
        model: str,
        digest: str,
        *,
        objective: str,
        precision: str,
        calibrated: bool,
        temperature: float,
    ) -> None:
        """Rewards are counted in units of `temperature`."""
        self._all = metrics
        self.model = model
        self._temperature = temperature
        self._labels = (model, digest[:SHORT_DIGEST])
        self._info = (*self._labels, objective, precision, str(calibrated))
        self._score = metrics.score.labels(*self._labels)
        self._inference = metrics.inference_seconds.labels(*self._labels)
        self._queue = metrics.queue_items.labels(*self._labels)
        self._items_ok = metrics.items.labels(*self._labels, "ok")
        self._items_failed = metrics.items.labels(*self._labels, "error")
        self._waits = metrics.queue_seconds.labels(model)
        self._tokenizing = metrics.tokenize_seconds.labels(model)
        metrics.nonfinite.labels(*self._labels)
        metrics.slowdown_factor.labels(*self._labels).set(1.0)
        metrics.model_info.labels(*self._info).set(1)

    def queue(self, items: int) -> None:
        self._queue.set(items)

    def taken(self, waits_s: Sequence[float]) -> None:
        for wait in waits_s:
            self._waits.observe(wait)

    def dropped(self, *, expired: int, abandoned: int) -> None:
        self._all.dropped.labels(self.model, "expired").inc(expired)
        self._all.dropped.labels(self.model, "abandoned").inc(abandoned)

    def tokenized(self, seconds: float) -> None:
        self._tokenizing.observe(seconds)

    def deduplicated(self) -> None:
        self._all.deduplicated.labels(self.model).inc()

    def ran(self, seconds: float, lengths: Sequence[int], *, slowdown_factor: float) -> None:
        self._all.slowdown_factor.labels(*self._labels).set(slowdown_factor)
        padded, used = len(lengths) * max(lengths), sum(lengths)
        self._inference.observe(seconds)
        self._all.batch_items.labels(self.model).observe(len(lengths))
        self._all.batch_tokens.labels(self.model).observe(padded)
        self._all.batch_padding.labels(self.model).observe((padded - used) / padded if padded else 0.0)
        self._all.input_tokens.labels(self.model).inc(used)
        self._all.engine_progress.labels(self.model).set_to_current_time()

    def scored(self, reward: Reward) -> None:
        self._score.observe(reward.value / self._temperature)
        if reward.cut_tokens:
            self._all.truncated.labels(self.model).inc()

    def record_outcomes(self, *, rewards: int, errors: int) -> None:
        self._items_ok.inc(rewards)
        self._items_failed.inc(errors)

    def nonfinite(self) -> None:
        self._all.nonfinite.labels(*self._labels).inc()

    def worker_restarted(self) -> None:
        self._all.worker_restarts.labels(self.model).inc()

    def retire(self) -> None:
        """Remove the series of this version: after it is retired they only cost memory."""
        for metric in (
            self._all.score,
            self._all.inference_seconds,
            self._all.queue_items,
            self._all.nonfinite,
            self._all.slowdown_factor,
        ):
            metric.remove(*self._labels)
        self._all.model_info.remove(*self._info)
