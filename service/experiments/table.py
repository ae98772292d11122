"""Definitions that came over the API, in a table of their own in the feedback database. Call it in a thread."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, delete, insert, select

from plurality.core.errors import ConfigurationError
from service.experiments.definition import Experiment, as_plain, parse_experiment
from service.experiments.registry import Stored
from service.feedback.connect import Database
from service.telemetry.logs import get_logger

_metadata = MetaData()
_experiments = Table(
    "experiments",
    _metadata,
    Column("name", Text, primary_key=True),
    Column("definition", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
)
_MICRO = 1_000_000


class DefinitionTable:
    """In a database that the caller closes. Every method raises FeedbackUnavailable where it does not answer."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._made = False
        self._log = get_logger(__name__)

    def load(self) -> list[Stored]:
        """Every definition by name; what an older release wrote and this one cannot read is left out and logged."""
        self._make()
        with self._database.read() as connection:
            rows = connection.execute(select(_experiments).order_by(_experiments.c.name)).all()
        found = []
        for row in rows:
            try:
                experiment = parse_experiment(_current(msgspec.json.decode(row.definition)))
            except ConfigurationError as error:
                self._log.error("experiment_unreadable", experiment=row.name, message=error.message)
                continue
            found.append(Stored(experiment, row.revision))
        return found

    def put(self, experiment: Experiment) -> None:
        """Store a definition in place of the one of its name; it gets a new revision though it be the same."""
        self._make()
        definition = msgspec.json.encode(as_plain(experiment)).decode()
        revision = int(self._clock() * _MICRO)
        with self._database.write() as connection:
            connection.execute(delete(_experiments).where(_experiments.c.name == experiment.name))
            values = {"name": experiment.name, "definition": definition, "revision": revision}
            connection.execute(insert(_experiments).values(values))

    def delete(self, name: str) -> bool:
        """Whether there was one."""
        self._make()
        with self._database.write() as connection:
            return connection.execute(delete(_experiments).where(_experiments.c.name == name)).rowcount > 0

    def _make(self) -> None:
        if not self._made:
            with self._database.write() as connection:
                _metadata.create_all(connection)
            self._made = True


def _current(definition: dict[str, Any]) -> dict[str, Any]:
    """A stored definition as it is written today: older releases stored `tolerance` as `margin`, a weight as a list."""
    for arm in definition.get("arms", ()):
        if isinstance(arm["weight"], list):
            arm["weight"] = arm["weight"][-1]
    return {"tolerance" if key == "margin" else key: value for key, value in definition.items()}
