"""Settings: precedence, unknown names, wrong values, and how they look to a person."""

import os
from pathlib import Path

import pytest

from plurality.core.errors import ConfigurationError
from service.settings import read_settings


def test_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag wins over the environment, which wins over the default; None means not given."""
    monkeypatch.setenv("PLURALITY_STORE", "/from-environment")
    monkeypatch.setenv("PLURALITY_HTTP__PORT", "1234")
    found = read_settings({"http": {"port": None, "host": "::1"}, "log_level": None}, {})
    assert (found.store, found.http.port, found.http.ops_port) == (Path("/from-environment"), 1234, 9090)
    assert found.http.host == "::1"
    assert read_settings({"store": Path("/flag"), "http": {"port": 1}}, {}).http.port == 1


@pytest.mark.parametrize("name", ["PLURALITY_SURPRISE", "plurality_htp__port", "PLURALITY_CACHE"])
def test_unknown_variables(name: str) -> None:
    """A misspelt variable is named, not ignored; other programs' variables do not matter."""
    with pytest.raises(ConfigurationError, match=name):
        read_settings({"store": Path()}, {name: "1", "PATH": "/bin"})


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"http": {"port": -1}}, "http.port"),
        ({"http": {"prt": 1}}, "http.prt"),
        ({"limits": {"default_timeout_s": float("nan")}}, "limits.default_timeout_s"),
        ({"default_model": "UPPER"}, "default_model"),
        ({"runtime": {"device": "tpu"}}, "runtime.device"),
    ],
)
def test_wrong_values(wrong: dict[str, object], key: str) -> None:
    """A wrong value or key is named."""
    with pytest.raises(ConfigurationError, match=key):
        read_settings({"store": Path(), **wrong}, {})


def test_frozen() -> None:
    """Settings cannot be changed after they are read."""
    found = read_settings({"store": Path()}, {})
    with pytest.raises(ValueError, match="frozen"):
        found.http.port = 1  # type: ignore[misc]


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, or where the desktop's convention says, or below the home folder."""
    assert read_settings({"store": Path(), "cache_dir": Path("/x")}, {}).cache_dir == Path("/x")
    monkeypatch.delenv("PLURALITY_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/y")
    assert read_settings({"store": Path()}, {}).cache_dir == Path("/y/plurality")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/z")
    assert read_settings({"store": Path()}, {}).cache_dir == Path("/z/.cache/plurality")


@pytest.mark.parametrize("store", [Path(), "s3://bucket/store"])
def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, store: Path | str) -> None:
    """As in a container that runs under any number: the cure is named."""
    for name in ("PLURALITY_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    with pytest.raises(ConfigurationError, match="set PLURALITY_CACHE_DIR"):
        read_settings({"store": store}, {})
