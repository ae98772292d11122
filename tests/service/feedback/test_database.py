"""The store on SQLite: all that every store promises, and what is SQLite's own."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from plurality.core.errors import ConfigurationError
from service.errors import FeedbackUnavailable
from service.feedback.database import FeedbackStore
from tests.service.feedback.stories import Fresh, StoreStories, opened, vote


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    numbers = count()
    folder = tmp_path_factory.mktemp("feedback")
    return lambda: f"sqlite:///{folder / f'{next(numbers)}.db'}"


@pytest.fixture(scope="module")
def shared(fresh: Fresh) -> Iterator[FeedbackStore]:
    with opened(fresh()) as store:
        yield store


class TestSqlite(StoreStories):
    """See `StoreStories`."""


def test_writers_do_not_stop_readers(fresh: Fresh) -> None:
    """Write-ahead logging: while a transaction writes, what was there before is read."""
    url = fresh()
    with opened(url) as store:
        store.add([vote(1)])
        with store.write() as connection:
            connection.exec_driver_sql("DELETE FROM feedback_votes")
            assert store.count() == 1


def test_a_deleted_voter_is_in_no_byte_of_the_files(tmp_path: Path) -> None:
    """Not in free pages, not in the write-ahead log."""
    with opened(f"sqlite:///{tmp_path / 'votes.db'}") as store:
        store.add([vote(number, voter="somebody-9f3c") for number in range(50)])
        assert store.delete_voter("somebody-9f3c") == 50
        files = sorted(tmp_path.iterdir())
        assert len(files) > 1
        assert not [path for path in files if b"somebody-9f3c" in path.read_bytes()]


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("mysql://somewhere/votes", "sqlite:///FILE or postgresql://"),
        ("sqlite://", "sqlite:///FILE or postgresql://"),
        ("sqlite:///:memory:", "sqlite:///FILE or postgresql://"),
        ("no url", "not a database URL"),
        ("sqlite:////no/such/folder/votes.db", "folder does not exist"),
    ],
)
def test_a_url_that_cannot_work_is_refused(url: str, cure: str) -> None:
    """By cause and cure."""
    with pytest.raises(ConfigurationError, match=cure):
        FeedbackStore(url).open()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """And is left as it is."""
    file = tmp_path / "letter.txt"
    file.write_bytes(b"Dear Sir or Madam, " * 100)
    with pytest.raises(ConfigurationError, match="no database that feedback can use"):
        FeedbackStore(f"sqlite:///{file}").open()
    assert file.read_bytes() == b"Dear Sir or Madam, " * 100


def test_a_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    """The store opens by itself once it does."""
    file = tmp_path / "votes.db"
    file.mkdir()
    store = FeedbackStore(f"sqlite:///{file}")
    try:
        with pytest.raises(FeedbackUnavailable):
            store.add([vote(1)])
        file.rmdir()
        assert store.add([vote(1)]) == ["stored"]
    finally:
        store.close()
