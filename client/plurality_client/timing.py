"""Clocks, sleep and jitter in one place, so that a test can hold them."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """What the client knows of time. Seconds throughout."""

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    """Since the epoch: only to read an HTTP date."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    """Uniform in [0, 1)."""


REAL = Timing()
