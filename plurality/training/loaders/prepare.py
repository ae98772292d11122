"""From a set to train, validation and test files with a card that accounts for every pair.

    records ─rows()─▶ pairs ─deduplicate─▶ ─hold out official test, excluded prompts─▶ ─ties, label─▶ ─split by prompt─▶

pairs read = written + merged + dropped, by reason; the card holds all of it and the files' digests.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from plurality.core.pairs import text_key
from plurality.core.rows import PreferenceRow
from plurality.training.errors import TrainingError
from plurality.training.load import file_digest, load_rows
from plurality.training.loaders.collect import Loaded, Record
from plurality.training.loaders.leaks import leaks
from plurality.training.loaders.registry import DataSet
from plurality.training.loaders.sources import Origin, Source, read
from plurality.training.split import PARTS, Shares, counts, deduplicate, hold_out, split
from service.bundle.files import replace_file

CARD, DETAILS = "card.json", "details.jsonl"
FILES = (*(f"{part}.jsonl" for part in PARTS), DETAILS, CARD)
METHOD = (
    "by prompt: sha256(seed, smallest key of all prompts and groups that hang together); normalized prompts (NFKC, "
    "case, white space); an official test split is test as it is, and its prompts and groups leave train"
)
IN_TEST, NEAR_TEST = "prompt is in the official test split", "conversation or post is in the official test split"
EXCLUDED, TIE = "prompt is in an excluded file", "a tie (--ties drop)"
Track = Callable[[Iterable[Record], str, int], Iterable[Record]]
Label = Literal["as-given", "majority", "one"]
"""Of a pair with several judgements."""
Ties = Literal["keep", "drop"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One preparation."""

    dataset: DataSet
    output: Path
    origin: Origin = field(default_factory=Origin)
    shares: Shares = (0.9, 0.05, 0.05)
    """Of train, validation and test."""
    seed: int = 0
    ties: Ties = "keep"
    label: Label = "as-given"
    exclude: tuple[Path, ...] = ()
    """Canonical files whose prompts must not be here, such as those of an evaluation."""


@dataclass(slots=True)
class _Account:
    """Where the pairs went."""

    read: int = 0
    merged: int = 0
    contradicted: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


def untracked(records: Iterable[Record], label: str, length: int) -> Iterable[Record]:
    """No progress shown."""
    del label, length
    return records


def prepare(plan: Plan, *, track: Track = untracked) -> dict[str, Any]:
    """Write the parts, the details and the card; returns the card.

    Raises:
        TrainingError: an output that is taken, records that cannot be had, no pairs left, shares that cannot be filled.
        DataError: records that are not of this set, each named.
    """
    if taken := [name for name in FILES if (plan.output / name).exists()]:
        raise TrainingError(f"{plan.output} already holds {', '.join(taken)}; choose another --output, or remove them")
    source = read(plan.dataset, plan.origin)
    account = _Account()
    pool = _load(plan.dataset, source.pool, "pool", track, account)
    test = _load(plan.dataset, source.test, "test", track, account)
    parts = _parts(plan, pool, test, account)
    if not any(parts.values()):
        reasons = ", ".join(f"{count} {reason}" for reason, count in account.dropped.most_common())
        raise TrainingError(f"no pair of {plan.dataset.name} is left: {reasons}")
    return _write(plan, source, parts, _details(pool) | _details(test), account)


def _load(dataset: DataSet, records: Sequence[Record], part: str, track: Track, account: _Account) -> Loaded:
    if not records:
        return Loaded()
    loaded = dataset.rows(track(records, f"{dataset.name} {part}", len(records)), source=dataset.name)
    account.read += len(loaded.rows) + loaded.dropped.total()
    account.dropped += loaded.dropped
    account.notes += loaded.notes
    return loaded if part == "pool" else _renamed(loaded)


def _renamed(loaded: Loaded) -> Loaded:
    """Ids of the official test split never meet those of the pool."""
    rows = [row.model_copy(update={"id": f"test:{row.id}"}) for row in loaded.rows]
    groups = {f"test:{identity}": group for identity, group in loaded.groups.items()}
    details = {f"test:{identity}": known for identity, known in loaded.details.items()}
    return Loaded(rows, groups=groups, details=details)


def _parts(plan: Plan, pool: Loaded, test: Loaded, account: _Account) -> dict[str, list[PreferenceRow]]:
    excluded = {row.prompt_key for path in plan.exclude for row in load_rows(path)}
    kept = {}
    for name, loaded in (("pool", pool), ("test", test)):
        unique = deduplicate(loaded.rows)
        account.merged += unique.merged
        account.contradicted += unique.contradicted
        rows, out = hold_out(unique.rows, excluded)
        account.dropped += Counter({EXCLUDED: len(out)})
        kept[name] = _labeled(plan, rows, account)
    rows, out = hold_out(kept["pool"], {row.prompt_key for row in kept["test"]})
    taken = {text_key(test.groups[row.id]) for row in kept["test"] if row.id in test.groups}
    clear = [row for row in rows if row.id not in pool.groups or text_key(pool.groups[row.id]) not in taken]
    account.dropped += Counter({IN_TEST: len(out), NEAR_TEST: len(rows) - len(clear)})
    parts = split(clear, shares_of(plan, official=bool(test.rows)), seed=plan.seed, groups=pool.groups)
    return parts if not test.rows else parts | {"test": kept["test"]}


def shares_of(plan: Plan, *, official: bool) -> Shares:
    """The shares; with an official test split, test's share of the rest is nothing."""
    train, validation, _ = plan.shares
    if not official:
        return plan.shares
    if train + validation <= 0:
        raise TrainingError("with an official test split, train or validation needs a share")
    return train / (train + validation), validation / (train + validation), 0.0


def _labeled(plan: Plan, rows: Sequence[PreferenceRow], account: _Account) -> list[PreferenceRow]:
    labeled = [relabel(row, plan.label, plan.seed) for row in rows]
    if plan.ties == "keep":
        return labeled
    kept = [row for row in labeled if row.label != 0.5]
    account.dropped += Counter({TIE: len(labeled) - len(kept)})
    return kept


def relabel(row: PreferenceRow, policy: Label, seed: int) -> PreferenceRow:
    """The label as the set gives it (the vote fraction, where there are votes), the majority's, or one person's.

    `one` draws one of the decided votes, by a hash of seed and id: what a set with one annotator a pair would hold.
    """
    p = row.preference
    if policy == "as-given" or p == 0.5:
        return row
    if policy == "majority":
        return row.model_copy(update={"label": float(p > 0.5)})
    decided = row.votes.a / (row.votes.a + row.votes.b) if row.votes else p
    drawn = int.from_bytes(hashlib.sha256(f"{seed}:{row.id}".encode()).digest()[:8], "big") / 2**64
    return row.model_copy(update={"label": float(drawn < decided)})


def _details(loaded: Loaded) -> dict[str, dict[str, Any]]:
    """Return details that rows do not hold; the group as a digest, since it may be a text."""
    grouped = {identity: {"group": text_key(group)[:16]} for identity, group in loaded.groups.items()}
    return grouped | {identity: grouped.get(identity, {}) | known for identity, known in loaded.details.items()}


def _write(
    plan: Plan,
    source: Source,
    parts: dict[str, list[PreferenceRow]],
    details: dict[str, dict[str, Any]],
    account: _Account,
) -> dict[str, Any]:
    plan.output.mkdir(parents=True, exist_ok=True)
    parts = {part: parts[part] for part in PARTS if parts[part]}
    described = {}
    for part, rows in parts.items():
        path = plan.output / f"{part}.jsonl"
        _lines(path, (row.model_dump(mode="json", exclude_none=True) for row in rows))
        described[part] = {"file": path.name, **counts(rows), "sha256": file_digest(path)}
    known = [{"id": row.id, **details[row.id]} for rows in parts.values() for row in rows if row.id in details]
    if known:
        _lines(plan.output / DETAILS, known)
    dataset = plan.dataset
    card = {
        "name": dataset.name, "license": dataset.license, "judged": dataset.judged, "caution": dataset.caution,
        "source": source.description, "records": len(source.pool) + len(source.test),
        "pairs": {
            "read": account.read, "written": sum(map(len, parts.values())), "merged": account.merged,
            "contradicted": account.contradicted, "dropped": dict(account.dropped.most_common()),
        },
        "notes": dict(account.notes.most_common()),
        "split": {
            "method": METHOD, "seed": plan.seed, "official_test": bool(source.test),
            "shares": list(shares_of(plan, official=bool(source.test))),
            "excluded": [path.name for path in plan.exclude],
        },
        "label": plan.label, "ties": plan.ties, "parts": described,
        "shared_between_parts": [asdict(leak) for leak in leaks(parts)],
    }  # fmt: skip
    replace_file(plan.output / CARD, msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    return card


def _lines(path: Path, objects: Iterable[dict[str, Any]]) -> None:
    replace_file(path, b"".join(msgspec.json.encode(entry) + b"\n" for entry in objects))
