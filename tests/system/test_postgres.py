"""The store on PostgreSQL: all that every store promises, and what is PostgreSQL's own."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from service.errors import FeedbackUnavailable
from service.feedback.database import FeedbackStore
from tests.e2e.feedback import votes_outlive_the_process
from tests.service.feedback.stories import Fresh, StoreStories, opened, vote
from tests.system.postgres import databases


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    with databases() as made:
        yield made


@pytest.fixture(scope="module")
def shared(fresh: Fresh) -> Iterator[FeedbackStore]:
    with opened(fresh()) as store:
        yield store


class TestPostgres(StoreStories):
    """See `StoreStories`."""


def test_a_vote_is_numbered_only_when_the_one_before_is_committed(fresh: Fresh) -> None:
    """A writer holds its transaction open: a second one waits, so no reader can see the later number first."""
    url = fresh()
    with opened(url) as store, opened(url) as other:
        store.add([vote(0)])
        second = threading.Thread(target=other.add, args=([vote(2)],))
        with store.write() as connection:
            number = connection.exec_driver_sql(
                "SELECT nextval(pg_get_serial_sequence('feedback_votes', 'number'))"
            ).scalar_one()
            second.start()
            _await_waiter(url, second)
            assert other.cursor() == number - 1
        second.join(60)
        assert other.cursor() == number + 1


def test_a_database_that_ends_connections_is_asked_again(fresh: Fresh) -> None:
    """A restart or a failover costs no request after it: pooled connections are tested before use."""
    url = fresh()
    with opened(url) as store:
        store.add([vote(1)])
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert store.add([vote(2)]) == ["stored"]


def test_a_database_that_is_not_there_is_unavailable() -> None:
    """Nothing listens: the error names neither host nor user."""
    store = FeedbackStore("postgresql://somebody:secret@127.0.0.1:1/votes")
    with pytest.raises(FeedbackUnavailable) as raised:
        store.add([vote(1)])
    assert "somebody" not in raised.value.message


def test_votes_outlive_the_process(
    fresh: Fresh, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole service on PostgreSQL."""
    votes_outlive_the_process(fresh(), published, tmp_path, monkeypatch)


def _await_waiter(url: str, writer: threading.Thread) -> None:
    """Until a writer's transaction waits for the writers' lock."""
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(url, autocommit=True) as connection:
        while not connection.execute(waiting).fetchone():
            assert writer.is_alive(), "the second writer did not wait"
