"""A store behind a URL: copied with digests checked; what is corrupt stays out; without the remote the copy serves."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import fsspec
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.publish import write_version
from model_export.upload import upload_version
from plurality.core.errors import ConfigurationError
from service.bundle.pointer import Pointer, read_pointer
from service.bundle.pointer_writer import moved, writer
from service.bundle.remote import RemoteStore, RemoteUnavailable
from service.bundle.store import read_verified
from service.errors import BundleRejected, PublishError, StoreBusy
from service.settings import read_settings
from service.telemetry.metrics import Metrics
from service.versions.mirror import Mirror, at_hand
from tests.e2e.process import plurality, serving
from tests.service.bundle.s3 import BUCKET, SECRET, client, s3_server

BODY = {"items": [{"prompt": "p", "response": "r"}]}


def second(store: Path, version: Path) -> str:
    """Another version of the same model in the local store, without an alias."""
    files = read_verified(version)
    with writer(store, "tiny") as directory:
        manifest = files.manifest.model_copy(update={"sequence": 2})
        return write_version(directory, manifest, files.contents)


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for a condition, bounded."""
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def served_version(api: str) -> str:
    reply = httpx.post(f"{api}/rm/v1/score", json=BODY, timeout=60)
    assert reply.status_code == 200, reply.text
    version: str = reply.json()["model"]["version"]
    return version


def metric(ops: str, name: str) -> float:
    lines = httpx.get(f"{ops}/metrics", timeout=60).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@pytest.mark.e2e
def test_served_from_s3(store: Path, version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole life of a remote store, over a real S3 protocol and real processes."""
    monkeypatch.setenv("PLURALITY_REPOSITORY__POLL_INTERVAL_S", "0.1")
    monkeypatch.setenv("PLURALITY_CACHE_DIR", str(tmp_path / "cache"))
    url = f"s3://{BUCKET}/some/prefix"
    newer = second(store, version)
    with s3_server(monkeypatch) as s3:
        done = plurality("publish", "tiny", "stable", "--store", str(store), "--to", url)
        assert (done.returncode, version.name[:12] in done.stdout) == (0, True), done.stderr
        with serving(url) as served:
            assert served_version(served.api) == version.name
            assert metric(served.ops, "rm_store_up") == 1
            assert plurality("publish", "tiny", newer[:12], "--store", str(store), "--to", url).returncode == 0
            until(lambda: served_version(served.api) == newer, "the new version")

            s3.kill()
            s3.wait()
            until(lambda: metric(served.ops, "rm_store_up") == 0, "store_up 0")
            assert served_version(served.api) == newer
            assert served.stop() == 0
        with serving(url) as again:
            assert served_version(again.api) == newer
            assert metric(again.ops, "rm_store_up") == 0
            assert again.stop() == 0
    for process in (served, again):
        assert SECRET not in json.dumps(process.log) + "".join(process.noise)
    [copy] = (tmp_path / "cache" / "stores").iterdir()
    for path in (copy / "tiny" / "versions").iterdir():
        read_verified(path)


@pytest.mark.e2e
def test_a_corrupt_object(store: Path, version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never reaches the copy; the alias stays at the old version; when the object is whole again, it moves."""
    monkeypatch.setenv("PLURALITY_REPOSITORY__POLL_INTERVAL_S", "0.1")
    monkeypatch.setenv("PLURALITY_CACHE_DIR", str(tmp_path / "cache"))
    url, new = f"s3://{BUCKET}", second(store, version)
    with s3_server(monkeypatch):
        upload_version(store / "tiny", version.name, url, "stable")
        upload_version(store / "tiny", new, url, "unused")
        key = f"tiny/versions/{new}/model.onnx"
        whole = client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        client().put_object(Bucket=BUCKET, Key=key, Body=whole[:-1] + bytes([whole[-1] ^ 1]))
        with serving(url) as served:
            until(
                lambda: metric(served.ops, 'rm_model_load_failures_total{model="tiny",reason="digest"}') == 1, "refusal"
            )
            assert served_version(served.api) == version.name
            [copy] = (tmp_path / "cache" / "stores").iterdir()
            assert [path.name for path in (copy / "tiny" / "versions").iterdir()] == [version.name]
            assert read_pointer(copy / "tiny").aliases == {"stable": version.name}
            assert served.stop() == 0
        client().put_object(Bucket=BUCKET, Key=key, Body=whole)
        with serving(url) as served:
            assert read_pointer(copy / "tiny").aliases == {"stable": version.name, "unused": new}
            assert served.stop() == 0


@pytest.mark.e2e
def test_two_who_publish_at_once(store: Path, version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pointer that changed between reading and writing is not overwritten."""
    url, new = f"s3://{BUCKET}", second(store, version)
    with s3_server(monkeypatch):
        upload_version(store / "tiny", version.name, url, "stable")
        raced: list[str] = []

        def slow(before: Pointer | None, changes: Mapping[str, str | None]) -> Pointer:
            if not raced:
                raced.append("first")
                upload_version(store / "tiny", new, url, "first")
            return moved(before, changes)

        with monkeypatch.context() as race:
            race.setattr("model_export.upload.moved", slow)
            with pytest.raises(StoreBusy):
                upload_version(store / "tiny", new, url, "second")
        upload_version(store / "tiny", new, url, "second")
        pointer = RemoteStore(url).pointers()["tiny"]
        assert not isinstance(pointer, BundleRejected)
        assert pointer.aliases == {"stable": version.name, "first": new, "second": new}


@pytest.fixture
def memory() -> Iterator[str]:
    """A remote store in this process's memory."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield "memory://store"
    system.store.clear()


def path_of(digest: str, name: str) -> str:
    return f"/store/tiny/versions/{digest}/{name}"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model.onnx", None, "io"),
        ("model.onnx", b"x", "size"),
        ("manifest.json", None, "io"),
        ("manifest.json", b"{}", "digest"),
        ("tokenizer.json", b"longer", "size"),
    ],
)
def test_what_is_not_fetched(
    memory: str, store: Path, version: Path, tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    """Each file is what the manifest says, or the version is refused with the reason."""
    upload_version(store / "tiny", version.name, memory, "stable")
    system = fsspec.filesystem("memory")
    path = path_of(version.name, name)
    if content is None:
        system.rm(path)
    else:
        system.pipe_file(path, content if content != b"longer" else system.cat_file(path) + b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BundleRejected) as refused:
        RemoteStore(memory).fetch("tiny", version.name, tmp_path / "folder", wanted=lambda: True)
    assert refused.value.reason == reason
    assert not (tmp_path / "folder" / "manifest.json").exists()


def test_a_fetch_that_is_not_wanted_any_more(memory: str, store: Path, version: Path, tmp_path: Path) -> None:
    upload_version(store / "tiny", version.name, memory, "stable")
    with pytest.raises(RemoteUnavailable):
        RemoteStore(memory).fetch("tiny", version.name, tmp_path, wanted=lambda: False)


def test_what_is_no_model(memory: str, store: Path, version: Path) -> None:
    """Other objects beside the models are passed over; a broken pointer is told from a missing one."""
    upload_version(store / "tiny", version.name, memory, "stable")
    system = fsspec.filesystem("memory")
    for path in ("/store/UPPER/pointer.json", "/store/README", "/store/empty/other"):
        system.pipe_file(path, b"x")
    system.pipe_file("/store/broken/pointer.json", b"{")
    found = RemoteStore(memory).pointers()
    assert set(found) == {"tiny", "broken"}
    assert isinstance(found["broken"], BundleRejected)


def test_an_alias_moves_when_its_version_is_there(
    memory: str, store: Path, version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one version cannot be fetched the other aliases follow; nothing is left of a copy that failed."""
    monkeypatch.setattr("service.versions.mirror._RETRY_S", 0.2)
    new = second(store, version)
    upload_version(store / "tiny", version.name, memory, "stable")
    upload_version(store / "tiny", new, memory, "candidate")
    system = fsspec.filesystem("memory")
    missing = system.cat_file(path_of(new, "model.onnx"))
    system.rm(path_of(new, "model.onnx"))
    copy = tmp_path / "copy"

    async def until_named(alias: str) -> None:
        while alias not in read_pointer(copy / "tiny").aliases:  # noqa: ASYNC110 - another thread writes it
            await asyncio.sleep(0.01)

    async def story() -> None:
        mirror = Mirror(memory, copy, Metrics(version="0"), period_s=0.02)
        await mirror.open()
        assert read_pointer(copy / "tiny").aliases == {"stable": version.name}
        upload_pointer_only(system, {"stable": version.name, "candidate": new, "blue": version.name})
        async with asyncio.timeout(60):
            await until_named("blue")
            assert list((copy / ".incoming").iterdir()) == []
            system.pipe_file(path_of(new, "model.onnx"), missing)
            await until_named("candidate")
        await mirror.aclose()

    asyncio.run(story())
    assert read_pointer(copy / "tiny").aliases == {"stable": version.name, "candidate": new, "blue": version.name}
    for path in (copy / "tiny" / "versions").iterdir():
        read_verified(path)


def upload_pointer_only(system: fsspec.AbstractFileSystem, aliases: dict[str, str]) -> None:
    pointer = {"schema_version": 1, "generation": 9, "aliases": aliases}
    system.pipe_file("/store/tiny/pointer.json", json.dumps(pointer).encode())


ALIASES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("1234"))


@given(ALIASES, ALIASES, st.sets(st.sampled_from("1234")))
def test_where_aliases_can_be(wanted: dict[str, str], before: dict[str, str], absent: set[str]) -> None:
    """Each is where it should be, or where it was; with everything there, exactly where it should be."""
    before = {alias: digest for alias, digest in before.items() if digest not in absent}
    found = at_hand(wanted, before, absent)
    assert not set(found.values()) & absent
    assert all(digest in {wanted[alias], before.get(alias)} for alias, digest in found.items())
    assert absent or found == wanted
    assert set(found) >= {alias for alias, digest in wanted.items() if digest not in absent}


@pytest.mark.parametrize(
    "url", ["nothing://x", "s3://key:secret@bucket/x", "s3://bucket/x?key=secret", "simplecache::s3://k:secret@b"]
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RemoteStore(url)
    assert "secret" not in refused.value.message


def test_uploading_a_damaged_version(memory: str, store: Path, version: Path) -> None:
    (version / "model.onnx").write_bytes(b"x")
    with pytest.raises(PublishError, match="publish it again"):
        upload_version(store / "tiny", version.name, memory, "stable")
    assert not fsspec.filesystem("memory").exists("/store/tiny/pointer.json")


def test_settings(tmp_path: Path) -> None:
    """A URL names a folder of its own in the cache; a folder stays what it is; a URL has no writer here."""
    found = read_settings({"store": "s3://bucket/x", "cache_dir": tmp_path}, {})
    assert found.remote == "s3://bucket/x"
    assert found.store.parent == tmp_path / "stores"
    assert found.store != read_settings({"store": "s3://bucket/y", "cache_dir": tmp_path}, {}).store
    assert read_settings({"store": "relative/folder"}, {}).remote is None
    with pytest.raises(ConfigurationError, match="publish --to"):
        read_settings({"store": "s3://bucket/x", "repository": {"writer": True}}, {})


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cache_dir"):
        Mirror("memory://store", tmp_path / "file" / "copy", Metrics(version="0"), period_s=1)
