"""The publish protocol: all or nothing, one writer, aliases only to what is there."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from model_export.publish import copy_version, next_sequence, read_manifest, write_version
from service.bundle.open import load_model
from service.bundle.pointer import read_pointer
from service.bundle.pointer_writer import current_version, find_version, roll_back, set_aliases, writer
from service.bundle.store import read_verified
from service.errors import BundleRejected, PublishError, RollbackImpossible, UnknownModel


def digests(store: Path) -> set[str]:
    return {path.name for path in (store / "tiny" / "versions").iterdir()}


@pytest.mark.parametrize("call", range(1, 8))
def test_a_full_disk_at_any_step(
    store: Path, version: Path, tmp_path: Path, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the k-th fsync fails nothing new is visible, the old version loads, and the next publish succeeds."""
    before, pointer = digests(store), (store / "tiny" / "pointer.json").read_bytes()
    files = read_verified(version)
    changed = files.manifest.model_copy(update={"sequence": 2})
    calls, real = [0], os.fsync

    def full(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    def attempt() -> None:
        with writer(store, "tiny") as directory:
            digest = write_version(directory, changed, files.contents)
            set_aliases(directory, {"stable": digest})

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(PublishError, match="No space"):
            attempt()
    assert not (store / "tiny" / ".staging").exists()
    assert not list((store / "tiny").glob(".pointer*"))
    assert (store / "tiny" / "pointer.json").read_bytes() == pointer or call == 7
    for name in digests(store) - before:
        load_model(store / "tiny" / "versions" / name).backend.close()
    load_model(version).backend.close()
    attempt()
    assert read_pointer(store / "tiny").aliases["stable"] != version.name


def test_a_full_disk_before_the_first_file(store: Path, version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a staging directory to be had: the same error, with its cause."""
    files = read_verified(version)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with writer(store, "tiny") as directory, monkeypatch.context() as disk:
        disk.setattr(Path, "mkdir", full)
        with pytest.raises(PublishError, match="No space"):
            write_version(directory, files.manifest, files.contents)
    assert digests(store) == {version.name}


def test_one_writer(store: Path) -> None:
    """A second writer is refused while the first works; the lock goes with its holder."""
    with writer(store, "tiny"), pytest.raises(PublishError, match="another process"), writer(store, "tiny"):
        pass
    with writer(store, "tiny"):
        pass


def test_an_unwritable_store(tmp_path: Path) -> None:
    """A store that cannot be written says so."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError, match="cannot write the store"), writer(tmp_path / "file", "tiny"):
        pass


def test_aliases(store: Path, version: Path) -> None:
    """The generation grows with each change; an alias to nothing is refused; None removes one."""
    with writer(store, "tiny") as directory:
        assert set_aliases(directory, {"candidate": version.name}).generation == 2
        with pytest.raises(PublishError, match="no version"):
            set_aliases(directory, {"stable": "f" * 64})
        assert set_aliases(directory, {"candidate": None}).aliases == {"stable": version.name}
    assert current_version(store / "tiny", "stable") == version.name
    assert current_version(store / "none", "stable") is None


def test_versions_are_read_only_and_publishing_twice_is_nothing(published: Path, store: Path, version: Path) -> None:
    """Files of a version lose their write bits; the same content gives the same digest and no second copy."""
    [original] = (published / "tiny" / "versions").iterdir()
    assert all(path.stat().st_mode & 0o222 == 0 for path in (original, *original.iterdir()))
    files = read_verified(version)
    with writer(store, "tiny") as directory:
        assert write_version(directory, files.manifest, files.contents) == version.name
        assert digests(store) == {version.name}
        assert next_sequence(directory) == read_manifest(version).sequence + 1


def test_what_does_not_verify_is_not_published(store: Path, version: Path) -> None:
    """A manifest that lies about the files, or whose golden rewards are wrong, never becomes a version."""
    files = read_verified(version)
    golden = tuple(entry.model_copy(update={"reward": 99.0}) for entry in files.manifest.golden)
    with writer(store, "tiny") as directory:
        with pytest.raises(PublishError, match="does not verify"):
            write_version(directory, files.manifest.model_copy(update={"golden": golden}), files.contents)
        with pytest.raises(PublishError, match="does not verify"):
            write_version(
                directory, files.manifest.model_copy(update={"sequence": 9}), {**files.contents, "model.onnx": b"x"}
            )
    assert digests(store) == {version.name}


def test_find_and_copy(store: Path, version: Path, tmp_path: Path) -> None:
    """By alias or first digits; none and several are refused; a copy is verified on both sides."""
    assert find_version(store / "tiny", "stable") == find_version(store / "tiny", version.name[:8]) == version.name
    shutil.copytree(version, version.with_name(version.name[:8] + "0" * 56))
    with pytest.raises(UnknownModel, match="names 2 versions"):
        find_version(store / "tiny", version.name[:8])
    with pytest.raises(UnknownModel, match="names 0 versions"):
        find_version(tmp_path / "none", "stable")
    with writer(tmp_path / "other", "tiny") as directory:
        assert copy_version(store / "tiny", version.name, directory) == version.name
        with pytest.raises(PublishError, match="source version does not verify"):
            copy_version(store / "tiny", version.name[:8] + "0" * 56, directory)


def test_a_damaged_version_is_published_again(store: Path, version: Path) -> None:
    """The same content once more is no success while the files on the disk are not that content: they are replaced."""
    files = read_verified(version)
    damages: list[Callable[[Path], object]] = [
        lambda path: path.write_bytes(b"x" * path.stat().st_size),
        lambda path: path.unlink(),
    ]
    for damage in damages:
        damage(version / "model.onnx")
        with pytest.raises(BundleRejected):
            read_verified(version)
        with writer(store, "tiny") as directory:
            assert write_version(directory, files.manifest, files.contents) == version.name
        assert read_verified(version).contents == files.contents
        assert digests(store) == {version.name}
        assert not (store / "tiny" / ".staging").exists()
        version.chmod(0o755)
        (version / "model.onnx").chmod(0o644)


def test_rolling_back(store: Path, version: Path) -> None:
    """Each rollback goes one further into the past, never back to what was left; what is not there is refused."""
    files = read_verified(version)
    with writer(store, "tiny") as directory:
        with pytest.raises(RollbackImpossible, match="no earlier"):
            roll_back(directory, "stable")
        versions = [version.name]
        for sequence in range(2, 8):
            changed = files.manifest.model_copy(update={"sequence": sequence})
            versions.append(write_version(directory, changed, files.contents))
            set_aliases(directory, {"stable": versions[-1]})
        assert set_aliases(directory, {"stable": versions[-1]}).history["stable"] == tuple(versions[-2:1:-1])
        for former in versions[-2:1:-1]:
            assert roll_back(directory, "stable").aliases["stable"] == former
        with pytest.raises(RollbackImpossible, match="no earlier"):
            roll_back(directory, "stable")
        set_aliases(directory, {"stable": versions[-1]})
        shutil.rmtree(directory / "versions" / versions[2])
        with pytest.raises(RollbackImpossible, match="not in the store"):
            roll_back(directory, "stable")


def test_too_many_aliases(store: Path, version: Path) -> None:
    """What a reader would refuse is not written."""
    with writer(store, "tiny") as directory:
        with pytest.raises(PublishError, match="at most 64"):
            set_aliases(directory, {f"alias-{number}": version.name for number in range(64)})
        with pytest.raises(PublishError, match="pattern"):
            set_aliases(directory, {"UPPER": version.name})
    assert read_pointer(store / "tiny").aliases == {"stable": version.name}


def test_what_a_dead_writer_left(store: Path) -> None:
    """The next one cleans it up."""
    left = [store / "tiny" / ".staging" / "some" / "file", store / "tiny" / ".pointer.json.0123"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    with writer(store, "tiny"):
        assert not any(path.exists() for path in left)


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 1}'])
def test_a_damaged_manifest_stops_no_publishing(store: Path, version: Path, content: bytes) -> None:
    damaged = store / "tiny" / "versions" / ("d" * 64)
    damaged.mkdir()
    (damaged / "manifest.json").write_bytes(content)
    assert next_sequence(store / "tiny") == read_manifest(version).sequence + 1
