"""`plurality alias`, `rollback` and `gc` on a real store."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from model_export.publish import write_version
from plurality.cli.app import app, exit_code
from plurality.core.errors import PluralityError
from service.bundle.gc import Age, collect, collectable
from service.bundle.pointer import read_pointer
from service.bundle.pointer_writer import set_aliases, version_digests, writer
from service.bundle.store import read_verified

DAY_S = 86_400.0


def run(store: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--store", str(store)])


def code_of(result: Result) -> int:
    """What the process would exit with."""
    return exit_code(result.exception) if isinstance(result.exception, PluralityError) else result.exit_code


@pytest.fixture
def versions(store: Path, version: Path) -> list[str]:
    """Eight versions by age, the oldest first, each a day older than the next; only the first has an alias."""
    files = read_verified(version)
    found = [version.name]
    with writer(store, "tiny") as directory:
        for sequence in range(2, 9):
            manifest = files.manifest.model_copy(update={"sequence": sequence})
            found.append(write_version(directory, manifest, files.contents))
    for days, digest in enumerate(reversed(found), start=2):
        then = time.time() - days * DAY_S
        os.utime(store / "tiny" / "versions" / digest, (then, then))
    return found


def test_aliases(store: Path, versions: list[str]) -> None:
    """Set, list with what was before, go back, remove."""
    assert f"tiny@stable is {versions[3][:12]}" in run(store, "alias", "set", "tiny", "stable", versions[3][:9]).stdout
    assert run(store, "alias", "set", "tiny", "blue", "stable").exit_code == 0
    listed = run(store, "alias", "list", "tiny").stdout.splitlines()
    assert listed == [
        f"tiny@blue  {versions[3][:12]}",
        f"tiny@stable  {versions[3][:12]}  (before: {versions[0][:12]})",
    ]
    assert f"is {versions[0][:12]}, was {versions[3][:12]}" in run(store, "rollback", "tiny").stdout
    assert run(store, "alias", "remove", "tiny", "blue").exit_code == 0
    assert read_pointer(store / "tiny").aliases == {"stable": versions[0]}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("alias", "set", "tiny", "stable", "nothing"), 2),
        (("alias", "set", "tiny", "UPPER", "stable"), 4),
        (("alias", "remove", "tiny", "nothing"), 2),
        (("rollback", "tiny"), 4),
        (("rollback", "tiny", "--alias", "nothing"), 4),
        (("alias", "list", "nothing"), 4),
        (("gc", "nothing"), 2),
        (("gc", "nothing", "--dry-run"), 2),
        (("alias", "set", "nothing", "stable", "stable"), 2),
        (("publish", "nothing", "stable"), 2),
    ],
)
def test_what_is_refused(store: Path, words: tuple[str, ...], code: int) -> None:
    """With an exit code, and without a change."""
    before = read_pointer(store / "tiny")
    assert code_of(run(store, *words)) == code
    assert [path.name for path in store.iterdir()] == ["tiny"]
    assert read_pointer(store / "tiny") == before


def test_no_alias_moves_to_a_damaged_version(store: Path, versions: list[str]) -> None:
    """By either verb; the message has the cure."""
    damaged = store / "tiny" / "versions" / versions[1]
    (damaged / "model.onnx").chmod(0o644)
    (damaged / "model.onnx").write_bytes(b"x")
    for words in (("alias", "set", "tiny", "stable", versions[1]), ("publish", "tiny", versions[1])):
        result = run(store, *words)
        assert code_of(result) == 4
        assert "publish it again" in str(result.exception)
    assert read_pointer(store / "tiny").aliases == {"stable": versions[0]}


def test_collecting(store: Path, versions: list[str]) -> None:
    """Named versions, the newest and the young stay; a dry run removes nothing; a second run finds nothing."""
    with writer(store, "tiny") as directory:
        set_aliases(directory, {"stable": versions[2], "blue": versions[1]})
    doomed = versions[3:6]
    words = ("gc", "--keep", "2", "--grace-hours", "24")
    said = run(store, *words, "--dry-run").stdout
    assert said.splitlines() == [f"tiny@{digest[:12]} would go" for digest in sorted(doomed)]
    assert set(version_digests(store / "tiny")) == set(versions)
    assert run(store, *words, "tiny").stdout.count("is gone") == 3
    assert set(version_digests(store / "tiny")) == {*versions[:3], *versions[6:]}
    assert "nothing to remove" in run(store, *words).stdout
    assert not (store / "tiny" / ".staging").exists()
    for digest in version_digests(store / "tiny"):
        read_verified(store / "tiny" / "versions" / digest)


def test_young_versions_stay(store: Path, versions: list[str]) -> None:
    """Somebody may just have been told of them."""
    run(store, "gc", "--keep", "0", "--grace-hours", str(24 * 5.5))
    assert set(version_digests(store / "tiny")) == {versions[0], *versions[-4:]}


def test_what_the_pointer_names_is_never_removed(store: Path, versions: list[str]) -> None:
    """Not even when asked to: the pointer is read again under the lease."""
    with writer(store, "tiny") as directory:
        collect(directory, versions)
    assert version_digests(store / "tiny") == [versions[0]]


def test_a_broken_pointer_collects_nothing(store: Path, versions: list[str]) -> None:
    (store / "tiny" / "pointer.json").write_text("{")
    assert code_of(run(store, "gc", "--keep", "0", "--grace-hours", "0")) == 4
    assert len(version_digests(store / "tiny")) == len(versions)


AGES = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 100)), unique_by=lambda pair: pair[0]
).map(lambda pairs: [Age(digest, published) for digest, published in pairs])  # fmt: skip


@given(AGES, st.sets(st.sampled_from("abcdefgh")), st.integers(0, 9), st.floats(0, 100), st.floats(0, 200))
def test_the_policy(ages: list[Age], keep: set[str], newest: int, grace_s: float, now: float) -> None:
    """Nothing kept, young or among the newest goes; everything else does."""
    gone = collectable(ages, keep, newest=newest, grace_s=grace_s, now=now)
    left = [age for age in ages if age.digest not in gone]
    assert not gone & keep
    assert all(now - age.published > grace_s for age in ages if age.digest in gone)
    assert len(left) >= min(newest, len(ages))
    for age in left:
        younger = [other for other in ages if other.published >= age.published and other != age]
        assert age.digest in keep or now - age.published <= grace_s or len(younger) < newest
