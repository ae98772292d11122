"""Which arm a unit is in: a keyed hash to one of 10,000 buckets, and ranges of buckets that weights are made of.

The same in every process and release: a file of 1,000 known answers holds it to that.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from plurality.core.errors import ConfigurationError
from service.domain import Item, Prompt, RawTokens

BUCKETS = 10_000
_PERSON = b"plurality-ab"
_MIN_SECRET_BYTES = 16


@dataclass(frozen=True, slots=True)
class Range:
    """Buckets start, ..., stop - 1 are an arm's."""

    start: int
    stop: int
    arm: str


Allocation = tuple[Range, ...]
"""Ranges that cover 0, ..., 9999 once, in order."""


def derive_key(secret: bytes) -> bytes:
    """The hash's key from a secret of any length."""
    return hashlib.blake2b(secret, digest_size=32, person=_PERSON).digest()


PUBLIC_KEY = derive_key(b"plurality")
"""Used where no secret is configured: anybody can then compute which arm a unit is in."""


def read_key(path: Path) -> bytes:
    """The assignment's key from a file with a secret.

    Raises:
        ConfigurationError: unreadable, or a secret that could be guessed.
    """
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise _wrong(path, error.strerror or "cannot be read") from None
    if len(secret) < _MIN_SECRET_BYTES:
        raise _wrong(path, f"holds less than {_MIN_SECRET_BYTES} bytes: `openssl rand -hex 32` makes a secret")
    return derive_key(secret)


def _wrong(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"experiments.key_file: {path.name}: {what}", param="experiments.key_file")


def bucket(key: bytes, experiment: str, unit: str) -> int:
    """BLAKE2b (RFC 7693), keyed, of (experiment, unit), in 0..9999; its bias is below 10^-15."""
    name = experiment.encode()
    message = len(name).to_bytes(4, "big") + name + unit.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(message, digest_size=8, key=key, person=_PERSON).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def arm_of(allocation: Allocation, place: int) -> str:
    """The arm that a bucket belongs to."""
    return allocation[bisect_right(allocation, place, key=lambda entry: entry.start) - 1].arm


def counts(allocation: Allocation) -> dict[str, int]:
    """Buckets of each arm that has any."""
    return {entry.arm: entry.stop - entry.start for entry in allocation}


def allocate(weights: Mapping[str, int]) -> Allocation:
    """A range for each arm, in the order of the arms: a function of the definition alone, so that every replica agrees.

    Args:
        weights: by arm, not all 0; shares are rounded by largest remainder, ties in the order of the arms.
    """
    shares = _apportion(weights)
    edges = [0, *accumulate(shares.values())]
    return tuple(Range(*edge, arm) for arm, edge in zip(shares, pairwise(edges), strict=True) if shares[arm])


def _apportion(weights: Mapping[str, int]) -> dict[str, int]:
    """Buckets by weight (Hamilton's method, in whole numbers)."""
    total = sum(weights.values())
    shares = {arm: weight * BUCKETS // total for arm, weight in weights.items()}
    order = sorted(weights, key=lambda arm: -(weights[arm] * BUCKETS % total))
    for arm in order[: BUCKETS - sum(shares.values())]:
        shares[arm] += 1
    return shares


def unit_of(items: Sequence[Item]) -> str | None:
    """The prompt that all items share, as a unit; None where they share none: they cannot be in one arm by prompt.

    A prompt that is one turn of a user is the same unit as its text.
    """
    first = _prompt(items[0]) if items else None
    if first is None or any(_prompt(item) != first for item in items):
        return None
    return _written(first)


def named_unit(name: str) -> str:
    """A unit that the caller names: never the same as a prompt's."""
    return f"unit:{name}"


def _prompt(item: Item) -> Prompt | None:
    return None if isinstance(item, RawTokens) else item.prompt


def _written(prompt: Prompt) -> str:
    """A prompt as one text; no two prompts are written alike."""
    if isinstance(prompt, str):
        return f"prompt:{prompt}"
    if len(prompt) == 1 and prompt[0].role == "user":
        return f"prompt:{prompt[0].content}"
    return "turns:" + "".join(f"{turn.role}:{len(turn.content)}:{turn.content}" for turn in prompt)


def neighbors(items: Sequence[Item]) -> list[tuple[int, int]]:
    """Index each item with the previous item of the same prompt: the pairs to compare where none are named."""
    last: dict[Prompt, int] = {}
    found = []
    for place, item in enumerate(items):
        prompt = _prompt(item)
        if prompt is None:
            continue
        if prompt in last:
            found.append((last[prompt], place))
        last[prompt] = place
    return found
