"""Where feedback is kept: SQLite or PostgreSQL by URL, its schema's version, and one writing transaction at a time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, inspect, select, text
from sqlalchemy.engine import make_url

from plurality.core.errors import ConfigurationError
from service.errors import FeedbackUnavailable
from service.feedback import tables
from service.telemetry.logs import get_logger

_BUSY_S = 10
"""How long a writer waits for another."""
_RETRY_S = 0.02
_CONNECT_S = 5
_SILENT_MS = 20_000
"""How long a server that no longer answers is believed to."""
POOL = 4
"""Connections of one process."""
_PARAM = "feedback.url"
_ONE_WRITER = text("SELECT pg_advisory_xact_lock(hashtextextended('plurality.feedback', 0))")
"""Until the end of the transaction. Without it a row could be committed after one of a higher number."""


class Database:
    """One database. Opens at first use, so that a service whose database is away still scores."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Nothing is connected yet.

        Args:
            create: make what is missing: the SQLite file, the tables.

        Raises:
            ConfigurationError: a URL of neither database, or PostgreSQL without its driver.
        """
        self._url = _checked(url)
        self._create = create
        self._engine: Engine | None = None
        self._opening = threading.Lock()

    @property
    def sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    def open(self) -> None:
        """Connect, make the tables, check the schema's version. Again: nothing.

        Raises:
            ConfigurationError: this cannot become a feedback database of ours.
            FeedbackUnavailable: it does not answer.
        """
        with self._opening:
            if self._engine is not None:
                return
            if self.sqlite:
                self._check_file()
            engine = _engine(self._url)
            try:
                with _known_errors():
                    _prepare(engine, create=self._create)
            except exc.DatabaseError as error:
                engine.dispose()
                raise ConfigurationError(
                    f"this is no database that feedback can use ({type(error.orig).__name__})", param=_PARAM
                ) from error
            except BaseException:
                engine.dispose()
                raise
            self._engine = engine

    def close(self) -> None:
        """Close every connection. Again: nothing."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; it sees one moment on SQLite, each statement its own on PostgreSQL."""
        with _known_errors(), self._opened().begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that no other writer overlaps; it is committed at the end, or nothing of it is kept."""
        engine = self._opened().execution_options(writes=True)
        with _known_errors(), engine.begin() as connection:
            yield connection

    def scrub(self) -> None:
        """Truncate SQLite's write-ahead log, which still holds deleted rows, as far as readers allow."""
        if self.sqlite:
            with _known_errors(), self._opened().execution_options(outside=True).connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def _opened(self) -> Engine:
        engine = self._engine
        if engine is None:
            self.open()
            engine = self._engine
        if engine is None:
            raise FeedbackUnavailable("the feedback database was closed")
        return engine

    def _check_file(self) -> None:
        path = Path(self._url.database or "")
        if not path.absolute().parent.is_dir():
            raise ConfigurationError("the feedback database's folder does not exist: make it", param=_PARAM)
        if not self._create and not path.is_file():
            raise ConfigurationError("there is no such feedback database", param=_PARAM)


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise ConfigurationError("not a database URL: sqlite:///FILE or postgresql://...", param=_PARAM) from None
    name = parsed.get_backend_name()
    if name == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return parsed.set(drivername="sqlite+pysqlite")
    if name == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise ConfigurationError("feedback is kept in sqlite:///FILE or postgresql://...", param=_PARAM)


def _engine(url: URL) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    given: dict[str, Any] = (
        {"timeout": _BUSY_S} if sqlite else {"connect_timeout": _CONNECT_S, "tcp_user_timeout": _SILENT_MS}
    )
    try:
        engine = create_engine(
            url,
            connect_args=given,
            hide_parameters=True,  # an error's text would hold prompts
            pool_pre_ping=not sqlite,
            pool_size=POOL,
            max_overflow=0,
            pool_timeout=_BUSY_S,
        )
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"PostgreSQL needs {error.name}, which is not installed: pip install '.[postgres]'", param=_PARAM
        ) from None
    if sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "begin", _begin_postgres)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver would begin transactions late, and never before a read
    for pragma in ("foreign_keys=ON", "secure_delete=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("outside"):
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")


def _begin_postgres(connection: Connection) -> None:
    if connection.get_execution_options().get("writes"):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_BUSY_S}s'")
        connection.execute(_ONE_WRITER)


def _prepare(engine: Engine, *, create: bool) -> None:
    with engine.begin() as connection:  # most often it is all there, and then no writer is waited for
        found = _version(connection)
    if found is None and create:
        if engine.dialect.name == "sqlite":
            _write_ahead(engine)
        found = _made(engine)
    if found is None:
        raise ConfigurationError("this database holds no feedback", param=_PARAM)
    if found != tables.SCHEMA:
        raise ConfigurationError(
            f"the feedback database has schema {found}, this release reads {tables.SCHEMA}: "
            "run the release that wrote it or a later one, or name another database",
            param=_PARAM,
        )


def _made(engine: Engine) -> int:
    """The version of the schema, made now unless another process was faster."""
    with engine.execution_options(writes=True).begin() as connection:
        found = _version(connection)
        if found is None:
            tables.metadata.create_all(connection)
            connection.execute(tables.schema.insert().values(version=tables.SCHEMA))
        return tables.SCHEMA if found is None else found


def _write_ahead(engine: Engine) -> None:
    """Readers and the writer do not stop each other. For this one lock SQLite does not wait by itself."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            with engine.execution_options(outside=True).connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except exc.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_S)
        else:
            return


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(tables.schema.name):
        return None
    return connection.execute(select(tables.schema.c.version)).scalar()


@contextmanager
def _known_errors() -> Iterator[None]:
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        # Of the network, a lock or the disk: the driver's own first line names no text of a vote.
        cause = str(getattr(error, "orig", error)).splitlines()[0]
        get_logger(__name__).warning("feedback_database", cause=cause)
        raise FeedbackUnavailable("the feedback database does not answer, or is locked: try again") from error
