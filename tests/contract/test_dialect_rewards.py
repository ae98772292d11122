"""Each dialect's number is the native route's, for 1,000 random texts, on a pair model and on a chat model."""

import os
import random
from pathlib import Path

import httpx
import pytest

from service.app import Service
from service.bundle.formats import PairFormat
from service.domain import ScoreItem
from tests.api import settings_for, with_api
from tests.service.api.dialects.asking import BOTH, CHAT_ONLY, PAIR_ONLY, Ask, Known, native

TEXTS = 1000
AT_ONCE = 100
TIMEOUT_S = 900
"""Trained models on busy cores take minutes."""
RESPONSES = 20
_ALPHABETS = (
    "abcdefg ,.\n",
    "the of and a to in is it you that ",
    "éßñ 中文字 🙂👩‍👩‍👧 \u202e\u0000",
    "0123456789+-*/= ",
)


def random_items(count: int, *, seed: int) -> list[ScoreItem]:
    """Short texts of several alphabets, groups of one prompt; some are empty, some have edge white space."""
    source = random.Random(seed)  # noqa: S311 - seeded texts, no secrets

    def text(longest: int) -> str:
        alphabet = source.choice(_ALPHABETS)
        return "".join(source.choice(alphabet) for _ in range(source.randrange(longest)))

    prompts = [f"{number} {text(20)}" for number in range(count // RESPONSES)]
    return [ScoreItem(prompt, text(30)) for prompt in prompts for _ in range(RESPONSES)]


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("kind", ["pair", "chat"])
def test_every_dialect_gives_the_native_reward(kind: str, published: Path, published_chat: Path) -> None:
    """To 1e-6, with the raw reward asked for in each dialect's own way."""
    compare(published if kind == "pair" else published_chat)


@pytest.mark.timeout(2 * TIMEOUT_S)
@pytest.mark.skipif("REWARD_STORES" not in os.environ, reason="REWARD_STORES names no stores of trained models")
def test_every_dialect_on_trained_models() -> None:
    """The same on stores of one's own: REWARD_STORES=store:another."""
    for store in os.environ["REWARD_STORES"].split(os.pathsep):
        compare(Path(store))


def compare(store: Path) -> None:
    """Ask every dialect that the store's model can answer."""
    items = random_items(TEXTS, seed=4)

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        [aliases] = service.live.snapshot.aliases.values()
        known = Known(aliases["stable"])
        form = known.bundle.manifest.input_format
        asks: dict[str, Ask] = BOTH | (PAIR_ONLY if isinstance(form, PairFormat) else CHAT_ONLY)
        for start in range(0, TEXTS, AT_ONCE):
            group = items[start : start + AT_ONCE]
            expected = await native(client, known, group)
            for name, ask in asks.items():
                found = await ask(client, known, group)
                worst = max(abs(a - b) for a, b in zip(found, expected, strict=True))
                assert worst <= 1e-6, f"{name}: {worst}"

    with_api(settings_for(store), story, timeout_s=TIMEOUT_S)
