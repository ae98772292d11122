"""The votes of one model, out of the feedback database, as training rows."""

from collections.abc import Iterator

from service.feedback.database import FeedbackStore
from service.feedback.export import training_rows
from training.rows import PreferenceRow


class FeedbackVotes:
    """Votes by their number in the database; deleted votes are gone from what is read again."""

    def __init__(self, store: FeedbackStore, model: str) -> None:
        self._store = store
        self._model = model

    def newest(self) -> int:
        return self._store.cursor()

    def count_after(self, row: int) -> int:
        return self._store.count(self._model, after=row)

    def rows_up_to(self, row: int) -> Iterator[PreferenceRow]:
        for raw in training_rows(self._store, model=self._model, until=row):
            yield PreferenceRow.model_validate(raw)

    def close(self) -> None:
        self._store.close()


def open_votes(url: str, model: str) -> FeedbackVotes:
    """Connect.

    Raises:
        PluralityError: the database cannot be read.
    """
    store = FeedbackStore(url)
    store.open()
    return FeedbackVotes(store, model)
