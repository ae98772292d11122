"""All settings, frozen, read once. Precedence: command line, then environment (PLURALITY_…), then the defaults here.

Nested names are joined by two underscores: PLURALITY_HTTP__PORT=8080. An unknown PLURALITY_ variable is an error.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from plurality.core.errors import ConfigurationError
from service.domain import ModelName
from service.settings.groups import (
    BatchingSettings,
    DialectSettings,
    ExperimentSettings,
    FeedbackSettings,
    HttpSettings,
    KeySettings,
    LimitSettings,
    OverloadSettings,
    RepositorySettings,
    RollbackSettings,
    RuntimeSettings,
    UiSettings,
    UpstreamSettings,
    WatchSettings,
)

ENV_PREFIX = "PLURALITY_"
_OF_CLIENTS = {"url"}
"""PLURALITY_URL tells plurality_client where the service is; it may be set where the service runs too."""


def _cache_dir() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plurality"
    except RuntimeError:  # a container's user that no file knows
        raise ConfigurationError(
            "cache_dir: this user has no home folder; set PLURALITY_CACHE_DIR", param="cache_dir"
        ) from None


class Settings(BaseSettings):
    """The service's whole configuration."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, allow_inf_nan=False
    )

    store: Path
    """A folder; or a URL, which is copied into a folder below `cache_dir`: this is then that folder."""
    remote: str | None = None
    """The URL that the store is copied from."""
    cache_dir: Path = Field(default_factory=_cache_dir)
    """Measured profiles and copies of remote stores; may be lost at any time."""
    default_model: ModelName | None = None
    """Scored when a request names no model; may be left out when the store holds one model."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    http: HttpSettings = HttpSettings()
    limits: LimitSettings = LimitSettings()
    overload: OverloadSettings = OverloadSettings()
    dialects: DialectSettings = DialectSettings()
    batching: BatchingSettings = BatchingSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    repository: RepositorySettings = RepositorySettings()
    watch: WatchSettings = WatchSettings()
    keys: KeySettings = KeySettings()
    rollback: RollbackSettings = RollbackSettings()
    experiments: ExperimentSettings = ExperimentSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    ui: UiSettings = UiSettings()

    @model_validator(mode="before")
    @classmethod
    def _copy_of_a_url(cls, values: dict[str, Any]) -> dict[str, Any]:
        url = values.get("store")
        if not (isinstance(url, str) and "://" in url):
            return values
        name = hashlib.sha256(url.encode()).hexdigest()[:16]
        folder = Path(values.get("cache_dir") or _cache_dir()) / "stores" / name
        return {**values, "store": folder, "remote": url}

    @model_validator(mode="after")
    def _one_writer(self) -> Self:
        if self.remote and self.repository.writer:
            raise ValueError("repository.writer needs a store in a folder; `plurality publish --to` writes a URL")
        return self


def read_settings(overrides: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Merge command-line overrides over the environment.

    Args:
        overrides: nested values; None means "not given".
        environment: the process environment, only checked here for unknown names.

    Raises:
        ConfigurationError: names the first wrong key.
    """
    _refuse_unknown(environment)
    try:
        return Settings(**_drop_none(overrides))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{key}: {first['msg']}", param=key) from None


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {*Settings.model_fields, *_OF_CLIENTS}
    for name in environment:
        if not name.upper().startswith(ENV_PREFIX):
            continue
        key = name.upper().removeprefix(ENV_PREFIX).lower().split("__")[0]
        if key not in known:
            raise ConfigurationError(f"unknown setting in the environment: {name}", param=name)


def _drop_none(values: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            if nested := _drop_none(value):
                kept[key] = nested
        elif value is not None:
            kept[key] = value
    return kept
