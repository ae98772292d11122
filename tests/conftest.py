"""Fixtures that are expensive once: bundles exported from real (tiny) models.

Only a test that asks for such a bundle imports torch and the exporter: `tests/contract/test_costs.py`.
"""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

# Neither clock nor chance decides: slow machines pass, every run draws the same examples. `search` draws others.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", settings.get_profile("steady"), derandomize=False, max_examples=1000)
settings.load_profile("steady")
# Several threads on busy cores make tiny models ten times slower. torch and BLAS read this once, when they are
# imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """Keep what the imports made out of every later garbage collection: it stays to the end.

    accelerate collects after each training run, and torch's and transformers' objects took half a second each time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Profiles of tests stay out of the user's cache; processes that tests start inherit the folder."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PLURALITY_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """A verb that ran inside a test sends the logs to a stream that is closed afterwards."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with `tiny` (BERT, calibrated). Shared: do not change it."""
    from tests.tiny import publish_tiny

    store = tmp_path_factory.mktemp("published") / "store"
    publish_tiny(store)
    return store


@pytest.fixture(scope="session")
def tiny_checkpoint(published: Path) -> Path:
    """The torch checkpoint that `tiny` was exported from."""
    return published.parent / "checkpoint-tiny-0"


@pytest.fixture(scope="session")
def published_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with `chatty` (Llama, uncalibrated). Shared: do not change it."""
    from tests.tiny import publish_tiny

    store = tmp_path_factory.mktemp("published-chat") / "store"
    publish_tiny(store, "chatty", kind="llama", calibrated=False)
    return store


@pytest.fixture(scope="session")
def published_two(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two versions of `tiny`: stable and, of other weights, candidate. Shared: do not change it."""
    from tests.tiny import publish_tiny

    store = tmp_path_factory.mktemp("published-two") / "store"
    shutil.copytree(published, store)
    publish_tiny(store, seed=1, aliases=("candidate",))
    return store


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Path:
    """A copy of the store that a test may break."""
    copy = tmp_path / "store"
    shutil.copytree(published, copy)
    for path in copy.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


@pytest.fixture
def version(store: Path) -> Path:
    """The directory of the one version in `store`."""
    [directory] = (store / "tiny" / "versions").iterdir()
    return directory
