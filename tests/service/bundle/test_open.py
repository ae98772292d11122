"""Broken bundles are refused with their reason; nothing of them is used."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_export.sample_texts import sample_items
from service.bundle.manifest import Manifest, parse_manifest
from service.bundle.open import load_model, score_now
from service.domain import Reward
from service.errors import BundleRejected
from tests.tiny import build_tiny_checkpoint


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 0x10
    path.write_bytes(data)


def rewrite(version: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the manifest and give the directory its new digest: a bundle that is consistent, and wrong."""
    manifest = json.loads((version / "manifest.json").read_bytes())
    change(manifest)
    data = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    (version / "manifest.json").write_bytes(data)
    return version.rename(version.with_name(hashlib.sha256(data).hexdigest()))


def refused(version: Path) -> BundleRejected:
    with pytest.raises(BundleRejected) as error:
        load_model(version)
    return error.value


def test_a_good_bundle_loads_and_scores(version: Path) -> None:
    """The unbroken copy is fine: the other tests break something real."""
    model = load_model(version)
    assert all(isinstance(outcome, Reward) for outcome in score_now(model, sample_items(5)))
    model.backend.close()
    [closed] = score_now(model, sample_items(1))
    assert not isinstance(closed, Reward)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("place", [0, 100, 5000, -1])
def test_one_flipped_bit(version: Path, name: str, place: int) -> None:
    """Any flipped bit in any file is refused."""
    flip(version / name, place)
    assert refused(version).reason == "digest"


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_truncated_missing_swapped(version: Path, name: str) -> None:
    """Short, absent, linked or foreign-typed files are refused, each with its reason."""
    path = version / name
    data = path.read_bytes()
    for size in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        assert refused(version).reason == "size"
    path.write_bytes(data + b"x")
    assert refused(version).reason == "size"
    path.unlink()
    assert refused(version).reason == "io"
    outside = version.parent / "outside"
    outside.write_bytes(data)
    path.symlink_to(outside)
    assert refused(version).reason == "io"
    path.unlink()
    os.link(outside, path)
    assert refused(version).reason == "io"
    path.unlink()
    os.mkfifo(path)
    assert refused(version).reason == "io"


def test_an_unlisted_file(version: Path) -> None:
    """A file that the manifest does not list makes the bundle invalid."""
    (version / "extra.bin").write_bytes(b"x")
    assert refused(version).reason == "digest"


def test_a_foreign_tokenizer_with_honest_digests(version: Path, tmp_path: Path) -> None:
    """Digests agree, yet the golden token ids do not: refused by the self-test."""
    other = build_tiny_checkpoint("roberta", tmp_path / "roberta") / "tokenizer.json"
    (version / "tokenizer.json").write_bytes(other.read_bytes())
    data = other.read_bytes()
    assert refused(rewrite(version, lambda m: _relist(m, data=data))).reason == "selftest"


def _relist(manifest: dict[str, Any], name: str = "tokenizer.json", *, data: bytes) -> None:
    for entry in manifest["files"]:
        if entry["name"] == name:
            entry |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_unreadable_files_with_honest_digests(version: Path) -> None:
    """Garbage that matches its digest is refused by the parser, as a tokenizer and as a model."""
    for name in ("tokenizer.json", "model.onnx"):
        kept = (version / name).read_bytes()
        (version / name).write_bytes(b"{}")
        version = rewrite(version, lambda m, n=name: _relist(m, n, data=b"{}"))  # type: ignore[misc]
        assert refused(version).reason == "parse"
        (version / name).write_bytes(kept)
        version = rewrite(version, lambda m, n=name, k=kept: _relist(m, n, data=k))  # type: ignore[misc]
    load_model(version).backend.close()


def test_a_wrong_golden_reward(version: Path) -> None:
    """Weights that do not give the manifest's rewards are refused."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["golden"][0]["reward"] += 1.0

    assert refused(rewrite(version, change)).reason == "selftest"


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(schema_version=2),
        lambda m: m.update(surprise=1),
        lambda m: m.update(center="0"),
        lambda m: m.update(model="../tiny"),
        lambda m: m["files"][0].update(name="../../etc/passwd"),
        lambda m: m["files"][0].update(name="/etc/passwd"),
        lambda m: m["files"][0].update(size=-1),
        lambda m: m.pop("golden"),
        lambda m: m["calibration"].update(temperature=0),
        lambda m: m["input_format"].update(kind="jinja"),
    ],
)
def test_manifests_that_say_what_they_must_not(version: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The schema is closed: unknown versions, fields, paths and values are refused."""
    assert refused(rewrite(version, change)).reason == "parse"


def test_manifest_limits(version: Path) -> None:
    """A manifest of NaN, of no JSON, or too large is refused before anything is believed."""
    for data in (b"{", b"[]", b'{"center": NaN}', b" " * (5 * 2**20)):
        with pytest.raises(BundleRejected):
            parse_manifest(data)
    (version / "manifest.json").write_bytes(b" " * (5 * 2**20))
    assert refused(version).reason == "size"


def test_manifest_without_a_needed_file(version: Path) -> None:
    """A bundle without tokenizer.json or model.onnx is refused by name."""

    def change(manifest: dict[str, Any]) -> None:
        for entry in manifest["files"]:
            if entry["name"] == "tokenizer.json":
                entry["name"] = "other.json"

    (version / "tokenizer.json").rename(version / "other.json")
    assert "tokenizer.json" in refused(rewrite(version, change)).message


def test_manifest_round_trip(version: Path) -> None:
    """Canonical bytes: parsing and writing again changes nothing."""
    data = (version / "manifest.json").read_bytes()
    assert isinstance(parse_manifest(data), Manifest)
    assert parse_manifest(data).to_bytes() == data
