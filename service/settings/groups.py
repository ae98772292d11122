"""The settings of each part of the service, by group; `read.py` puts them together and reads them."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from service.domain import Device, Scheduler

Port = Annotated[int, Field(ge=0, le=65535)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class HttpSettings(_Group):
    """Listening, and how to stop."""

    host: str = "127.0.0.1"
    port: Port = 8080
    """The API. 0 lets the system choose."""
    ops_port: Port = 9090
    """Probes and metrics."""
    drain_delay_s: float = Field(default=0.0, ge=0, le=300)
    """How long to go on serving after SIGTERM while load balancers notice; 5 in Kubernetes."""
    graceful_timeout_s: float = Field(default=30.0, ge=0, le=3600)
    """How long running requests may take once the listener is closed."""
    max_body_bytes: int = Field(default=2 * 2**20, ge=1024)
    body_timeout_s: float = Field(default=30.0, gt=0)
    """How long a client may take to send its body."""


class LimitSettings(_Group):
    """Limits of one request, and of the service as a whole."""

    max_items_per_request: int = Field(default=256, ge=1)
    max_characters_per_item: int = Field(default=100_000, ge=1)
    """Checked before tokenizing: truncation does not bound its cost."""
    max_queue_items: int = Field(default=4096, ge=1)
    max_queue_tokens: int = Field(default=4 * 2**20, ge=1)
    refuse_late: bool = True
    """Refuse at once what would, by prediction, miss its deadline; otherwise it waits, and fails with 504."""
    default_timeout_s: float = Field(default=30.0, gt=0)
    max_timeout_s: float = Field(default=300.0, gt=0)


OnOverload = Literal["refuse", "block"]


class OverloadSettings(_Group):
    """Overload: a full service refuses a request at once, or lets it wait for room until its deadline."""

    on_overload: OnOverload = "refuse"
    routes: dict[str, OnOverload] = {}
    """By path, over a dialect's own default: {"/get_reward": "block"}."""
    keys: dict[str, OnOverload] = {}
    """By bearer token, over everything else. It selects a policy; it is no authentication."""
    status: Literal[503, 429] = 503
    """Of a refusal. verl's client, for one, ends the run on 429."""
    max_waiting: int = Field(default=1024, ge=0)
    """Requests that may wait for room; beyond, a blocking request is refused too."""


class DialectSettings(_Group):
    """Which peer answers where two share a path and their requests look alike."""

    rerank: Literal["vllm", "sglang"] = "vllm"
    """The reply of /v1/rerank: vLLM's object, or SGLang's bare list."""
    models: dict[str, str] = {}
    """What clients call our models: {"/models/rm": "mine"}; verl sends the path that it knows. "*": any other name."""


class BatchingSettings(_Group):
    """Batching of items into engine calls."""

    max_items: int = Field(default=64, ge=1, le=4096)
    """Most texts of one call; how many it pays to run together is measured."""
    max_tokens: int = Field(default=32768, ge=1)
    """Padded tokens of one call: bounds the engine's memory."""
    workers: int | None = Field(default=None, ge=1, le=64)
    """Engine calls at the same time; by default what the profile found fastest."""
    ageing_s: float = Field(default=5.0, gt=0)
    """Items that have waited this long come before tighter deadlines."""
    scheduler: Scheduler = "profile"
    """`fifo`: batches in order of arrival, padded, as other servers do; for comparison."""
    dedupe: bool = True
    """Compute identical items that are in flight at the same time once."""
    share_prompts: bool = True
    """Tokenize a prompt that several items share once."""


EngineKind = Literal["process", "in_process"]


class RuntimeSettings(_Group):
    """Device, cores and threads of the engine."""

    device: Device = "cpu"
    cores: int | None = Field(default=None, ge=1)
    """Cores that workers and threads may take together; by default all that this process is allowed."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of one engine call; by default what the profile found fastest."""
    engine: EngineKind = "process"
    """`process`: each version's engine runs in a process of its own, which is replaced when it hangs or dies;
    `in_process`: in the service's, which saves memory and a hop, and ends with whatever ends the engine."""
    call_limit_s: float = Field(default=30.0, gt=0)
    """An engine call that takes longer, and twenty times longer than predicted, hangs: its process is replaced."""
    low_latency_session: bool = True
    """Answer a lone request with all cores, where several workers of few threads are fastest. Holds weights twice."""


class UpstreamSettings(_Group):
    """Versions that another server computes."""

    calls: int = Field(default=8, ge=1, le=64)
    """Requests to the server at the same time; each holds up to `batching.max_items` texts."""
    check_s: float = Field(default=10.0, gt=0)
    """Between checks that the server still gives known texts their rewards."""


class RepositorySettings(_Group):
    """Polling of the store, limits of loading a candidate, and how many versions stay loaded."""

    poll_interval_s: float = Field(default=2.0, gt=0)
    """Between polls of the store; where the file system sends notices a new pointer is seen sooner."""
    dry_run: bool = True
    """Run each candidate in a limited child process first. Off: what crashes the engine crashes the service."""
    dry_run_s: float = Field(default=30.0, gt=0)
    """How long that first run may take, and how much processor time."""
    dry_run_memory_bytes: int | None = Field(default=None, ge=2**28)
    """Its address space; by default 2 GiB and four times the version's files."""
    load_s: float = Field(default=600.0, gt=0)
    """How long opening (and measuring) a candidate may take."""
    warm_up_s: float = Field(default=30.0, gt=0)
    """How long warming it up may take, and its self-test."""
    resident_bytes: int | None = Field(default=None, ge=1)
    """What loaded versions may take together; by default four fifths of the memory that the process may use."""
    resident_versions: int | None = Field(default=None, ge=1)
    resident_factor: float = Field(default=3.0, ge=1)
    """A version is taken to need its files' bytes times this."""
    keep_previous: int = Field(default=1, ge=0, le=16)
    """How many former versions of `stable` stay loaded while there is room: going back to them takes no time."""
    writer: bool = False
    """Whether admin calls may move aliases: the server then writes pointers, under the publisher's lease."""


class RollbackSettings(_Group):
    """Automatic rollback of a version that just became active."""

    automatic: bool = True
    within_s: float = Field(default=600.0, gt=0)
    """How long after an alias moved to it a version is on probation."""
    window_s: float = Field(default=60.0, ge=1)
    error_ratio: float = Field(default=0.1, gt=0, le=1)
    """Share of items that fail in the engine, within the window, from which on it is taken back."""
    min_items: int = Field(default=100, ge=1)
    """Fewer items in the window say nothing about the ratio."""
    non_finite: int = Field(default=1, ge=1)
    """So many items without a finite reward are enough; raise it where callers may send what overflows any model."""


class ExperimentSettings(_Group):
    """Versions compared on live traffic."""

    file: Path | None = None
    """Definitions in YAML; read again when the file changes."""
    key_file: Path | None = None
    """Secret behind the assignment. Without it, anybody can compute which arm a unit is in."""
    poll_interval_s: float = Field(default=2.0, gt=0)
    """Between looks at the definitions, and at votes without a prediction."""
    shadow_items: int = Field(default=1024, ge=1)
    """Items that may wait for shadow arms; beyond, they are dropped."""
    background_load: float = Field(default=0.1, gt=0, le=0.5)
    """Shadow arms and predictions of votes run only while less than this share of the service's room is taken."""


class WatchSettings(_Group):
    """Monitoring of each version's rewards: drift, saturation, length, spread."""

    size: int = Field(default=2048, ge=64, le=65536)
    """Rewards in a version's window; its first full one is what later ones are compared with."""
    min_items: int = Field(default=200, ge=20)
    """With fewer there are no figures."""
    period_s: float = Field(default=10.0, gt=0)
    """Between readings of the windows."""
    stale_s: float = Field(default=600.0, gt=0)
    """A version that scored nothing for so long has no figures, until it scores again."""
    collapsed_below: float = Field(default=0.01, ge=0)
    """A group has collapsed when its standard deviation is at most this share of the reference set's."""

    @model_validator(mode="after")
    def _window_can_fill(self) -> Self:
        if self.min_items > self.size:
            raise ValueError("min_items must not be more than size")
        return self


class FeedbackSettings(_Group):
    """The database of votes. Off without a URL."""

    url: SecretStr | None = None
    """sqlite:///FILE (four slashes for an absolute path) or postgresql://..., which may hold a password."""
    remember: bool = False
    """Keep the pairs of /rm/v1/preference, prompts included, so that a vote can name them by request id."""
    remember_hours: float = Field(default=24.0, gt=0, le=24 * 366)

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.remember and self.url is None:
            raise ValueError("remember needs a database: set feedback.url too")
        return self


class KeySettings(_Group):
    """Files of API keys, one key a line. Writes are off without a key; an admin key opens everything."""

    score_file: Path | None = None
    """Without it, scoring is open to whoever reaches the port."""
    feedback_file: Path | None = None
    admin_file: Path | None = None


class UiSettings(_Group):
    """The web page."""

    enabled: bool = True
    """False: there is nothing at /ui."""
