"""Reads one model's votes from the feedback database as training rows."""

from collections.abc import Iterator

from plurality.core.errors import ConfigurationError
from plurality.core.rows import PreferenceRow
from plurality.training.errors import TrainingError
from service.feedback.database import FeedbackStore
from service.feedback.export import training_rows


class FeedbackVotes:
    """Votes by row number in the feedback database; deleted votes are not read again."""

    def __init__(self, store: FeedbackStore, model: str) -> None:
        self._store = store
        self._model = model

    def newest(self) -> int:
        return self._store.cursor()

    def count_after(self, row: int) -> int:
        return self._store.count(self._model, after=row)

    def rows_up_to(self, row: int) -> Iterator[PreferenceRow]:
        return training_rows(self._store, model=self._model, until=row)

    def close(self) -> None:
        self._store.close()


def open_votes(url: str, model: str) -> FeedbackVotes:
    """Connect to the feedback database.

    Raises:
        TrainingError: there is no such database, or it holds no feedback.
        FeedbackUnavailable: it does not answer.
    """
    try:
        store = FeedbackStore(url, create=False)
        store.open()
    except ConfigurationError as error:
        raise TrainingError(
            f"feedback: {error.message}; name the one that the service writes (PLURALITY_FEEDBACK__URL), which makes "
            "it at its first use"
        ) from None
    return FeedbackVotes(store, model)
