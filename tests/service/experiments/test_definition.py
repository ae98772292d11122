"""Definitions: what is wrong is named by key; what is read twice is the same."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from plurality.core.errors import ConfigurationError
from service.errors import FeedbackUnavailable
from service.experiments.assign import read_key
from service.experiments.breaker import Breaker, BreakerRules
from service.experiments.definition import Experiment, as_plain, parse_experiment, read_file, since_of
from service.experiments.registry import Registry, Stored
from service.experiments.table import DefinitionTable
from service.feedback.connect import Database
from service.telemetry.metrics import Metrics
from tests.service.experiments.shelf import arm, experiment

GOOD = """
experiments:
  - name: tone
    model: demo
    control: current
    arms:
      - {name: current, version: stable, weight: 95}
      - {name: new, version: candidate, weight: 5}
      - {name: next, version: "1a2b3c4d", shadow: true}
"""
ENTRY = GOOD.split("experiments:\n")[1]


def arms(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"arms": list(entries)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alpha": 2}, "alpha: "),
        ({"alpha": "0.05"}, "alpha: "),
        ({"color": 1}, "unknown key"),
        ({"control": "none"}, "control: no arm of this name; arms: current, new"),
        ({"name": "Tone!"}, "name: "),
        (arms(arm("current", "stable", weight=1)), "arms: "),
        (arms(*(arm(f"a{i}", "stable", weight=1) for i in range(9))), "arms: "),
        (arms(arm("current", "stable", weight=-1), arm("new", "c")), "arms[0].weight: "),
        (arms(arm("current", "stable", weight=1.5), arm("new", "c")), "arms[0].weight: "),
        (arms(arm("current", "stable", wait=1), arm("new", "c")), "arms[0]: an unknown key"),
        (arms(arm("current", "stable"), arm("new", "c")), "arms: all weights"),
        (arms(arm("current", "stable", weight=[1, 2]), arm("new", "c", weight=1)), "arms[0].weight: "),
        (arms(arm("current", "stable", weight=1), arm("current", "c")), "arms: two have the same name"),
        (arms(arm("current", "stable", shadow=True), arm("new", "c", weight=1)), "control: a shadow"),
        (arms(arm("current", "stable", weight=1), arm("s", "c", shadow=True, weight=1)), "arms: a shadow"),
        ({"since": "2026-01-01T00:00:00"}, "since: "),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], words: str) -> None:
    """Each error begins with the key that is wrong, and never shows a value of an unknown key."""
    raw = {**as_plain(experiment()), **change}
    with pytest.raises(ConfigurationError) as caught:
        parse_experiment(raw)
    assert words in caught.value.message
    assert "color" not in caught.value.message


def test_as_plain_reads_back() -> None:
    """A definition that is written as JSON and read again is the same."""
    made = experiment(since="2026-03-01T12:00:00Z", alpha=0.1, running=False)
    assert parse_experiment(as_plain(made)) == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("experiments: {", "is not YAML in line 1"),
        ("[1, 2]", "one key at the top"),
        ("experiments: []\nothers: []", "one key at the top"),
        ("experiments:\n  - name: a\n    name: b", "the key name is given twice"),
        ("experiments:\n  - ? [a]\n    : b", "a key is not a word"),
        ("a: !!python/object/apply:os.system ['true']", "is not YAML"),
        (GOOD.replace("weight: 5}", "weight: five}"), "experiments[0].arms[1].weight: "),
        (GOOD + ENTRY, "two experiments have the name tone"),
        (GOOD + ENTRY.replace("tone", "other"), "two running experiments are of the model demo"),
        (GOOD + "#" * 2**20, "larger than"),
        ("[" * 5000, "is not YAML"),
    ],
)  # fmt: skip
def test_a_bad_file(tmp_path: Path, text: str, words: str) -> None:
    """The file and the place in it are named."""
    path = tmp_path / "e.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_file(path)
    assert words in caught.value.message
    assert caught.value.message.startswith("experiments.file: e.yaml: ")


def test_a_good_file(tmp_path: Path) -> None:
    """What is read is what stands there; an empty file defines nothing; a missing one is an error."""
    path = tmp_path / "e.yaml"
    path.write_text(GOOD)
    [read] = read_file(path)
    assert [entry.weight for entry in read.arms] == [95, 5, 0]
    assert read.shadows[0].version == "1a2b3c4d"
    path.write_text("")
    assert read_file(path) == ()
    with pytest.raises(ConfigurationError, match="No such file"):
        read_file(tmp_path / "none.yaml")


def test_a_file_that_changes(tmp_path: Path) -> None:
    """Read again when it changed; a bad change is counted and leaves what was; a repaired one is taken."""
    path = tmp_path / "e.yaml"
    path.write_text(GOOD)
    metrics = Metrics(version="test")
    registry = Registry(path, None, metrics.experiments, poll_interval_s=60)

    async def story() -> None:
        await registry.open()
        before = registry.running["demo"]
        await registry.refresh()
        assert registry.running["demo"] is before
        path.write_text("experiments: {")
        await registry.refresh()
        assert registry.running["demo"] is before
        assert metrics.registry.get_sample_value("rm_ab_definitions_up", {"origin": "file"}) == 0
        path.write_text(GOOD.replace("95", "60"))
        await registry.refresh()
        assert registry.running["demo"].experiment.arms[0].weight == 60
        assert metrics.registry.get_sample_value("rm_ab_definitions_up", {"origin": "file"}) == 1
        path.write_text(GOOD + "    running: false\n")
        await registry.refresh()
        assert registry.running == {}
        assert not registry.entries["tone"].runs

    asyncio.run(story())


def test_a_file_that_is_being_written(tmp_path: Path) -> None:
    """Cut off or empty for a moment, as editors leave it between truncating and writing: nothing is taken from it."""
    path, text = tmp_path / "e.yaml", GOOD + "    running: false\n"
    path.write_text(GOOD)
    looks: list[str] = []

    class Writing(Registry):
        """Before each look the file grows, until it is whole."""

        async def refresh(self) -> None:
            looks.append(path.read_text())
            await super().refresh()

    registry = Writing(path, None, Metrics(version="test").experiments, poll_interval_s=0)

    async def story() -> None:
        await registry.open()
        watching = asyncio.create_task(registry.watch())
        for length in range(0, len(text) + 1, 50):
            path.write_text(text[:length])
            await asyncio.sleep(0)  # one look, at most
        path.write_text(text)
        async with asyncio.timeout(30):
            while registry.running:  # noqa: ASYNC110
                await asyncio.sleep(0)
        watching.cancel()

    asyncio.run(story())
    assert set(looks) <= {GOOD, text}


class Store:
    """A database that the test takes away."""

    def __init__(self) -> None:
        self.stored = [Stored(experiment(), 1)]
        self.away = False

    def load(self) -> list[Stored]:
        if self.away:
            raise FeedbackUnavailable("away")
        return self.stored

    def put(self, given: Experiment) -> None:
        raise NotImplementedError

    def delete(self, name: str) -> bool:
        raise NotImplementedError


def test_a_database_that_goes_away(tmp_path: Path) -> None:
    """What was read goes on; a new revision of the same definition starts afresh; the file's names come first."""
    path, store, metrics = tmp_path / "e.yaml", Store(), Metrics(version="test")
    registry = Registry(path, store, metrics.experiments, poll_interval_s=0.001)
    path.write_text("")

    async def story() -> None:
        await registry.open()
        first = registry.running["fake"]
        store.away = True
        await registry.refresh()
        assert registry.running["fake"] is first
        assert metrics.registry.get_sample_value("rm_ab_definitions_up", {"origin": "database"}) == 0
        store.away, store.stored = False, [Stored(experiment(), 2)]
        watching = asyncio.create_task(registry.watch())
        while registry.running["fake"] is first:  # noqa: ASYNC110
            await asyncio.sleep(0)
        watching.cancel()
        assert registry.running["fake"].experiment == first.experiment
        path.write_text(GOOD)
        await registry.refresh()
        assert (registry.entries["tone"].origin, list(registry.running)) == ("file", ["demo"])
        path.unlink()
        await registry.refresh()
        assert list(registry.running) == ["demo"]
        path.write_text("")
        store.stored = []
        await registry.refresh()
        assert registry.entries == {}

    asyncio.run(story())


def test_a_stored_definition_that_cannot_be_read(tmp_path: Path) -> None:
    """What another release wrote is left out, and the others are read."""
    database = Database(f"sqlite:///{tmp_path}/e.db")
    table = DefinitionTable(database)
    table.put(experiment())
    table.put(experiment(name="other", running=False))
    with database.write() as connection:
        connection.execute(text("UPDATE experiments SET definition = '{\"name\": 7}' WHERE name = 'tone'"))
    assert [stored.experiment.name for stored in table.load()] == ["other"]
    assert (table.delete("tone"), table.delete("tone")) == (True, False)
    database.close()


def test_since() -> None:
    """Votes count from when the experiment says, else from when its youngest version was made."""
    made = {"a": "2026-01-01T00:00:00+00:00", "b": "2026-02-01T00:00:00+00:00"}
    assert since_of(experiment(), made) == datetime(2026, 2, 1, tzinfo=UTC).timestamp()
    assert since_of(experiment(since="2025-01-01T00:00:00Z"), made) == datetime(2025, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01"])
def test_since_with_a_version_of_no_known_age(text: str) -> None:
    """The others decide; a time without a zone is UTC."""
    made = {"a": text, "b": "2026-02-01T00:00:00"}
    assert since_of(experiment(), made) == datetime(2026, 2, 1, tzinfo=UTC).timestamp()
    assert since_of(experiment(), {"a": text}) == 0.0


def test_secrets(tmp_path: Path) -> None:
    """Two secrets give two keys; one that could be guessed is refused."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("0123456789abcdef\n")
    two.write_text("0123456789abcdeg\n")
    assert read_key(one) != read_key(two)
    one.write_text("short")
    for path in (one, tmp_path / "none"):
        with pytest.raises(ConfigurationError, match="key_file"):
            read_key(path)


def test_a_breaker() -> None:
    """It opens at enough failures and a large enough share of the window; what is older does not count."""
    rules = BreakerRules(window_s=10, failures=3, ratio=0.5)
    breaker = Breaker(rules)
    assert [breaker.record(0, failed=True), breaker.record(1, failed=True)] == [False, False]
    assert not breaker.record(11.5, failed=True)
    assert not breaker.record(12, failed=False)
    assert not breaker.record(12, failed=True)
    assert breaker.record(12, failed=True)
    assert breaker.open
    assert not breaker.record(99, failed=True)
    long = Breaker(rules)
    for _ in range(10_001):
        long.record(1, failed=False)
    assert not long.record(1, failed=True)
    diluted = Breaker(rules)
    assert not any(diluted.record(1, failed=number % 3 == 0) for number in range(20))


def test_a_stored_definition_of_an_older_release(tmp_path: Path) -> None:
    """`margin` is read as `tolerance`, and of a list of weights the last, which was in force."""
    database = Database(f"sqlite:///{tmp_path}/e.db")
    table = DefinitionTable(database)
    table.put(experiment(tolerance=0.02))
    with database.write() as connection:
        connection.execute(text("UPDATE experiments SET definition = replace(definition, 'tolerance', 'margin')"))
        listed = """UPDATE experiments SET definition = replace(definition, '"weight":1', '"weight":[9,1]')"""
        connection.exec_driver_sql(listed)
    assert [stored.experiment for stored in table.load()] == [experiment(tolerance=0.02)]
