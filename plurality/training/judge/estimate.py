"""What a run will ask for, before it asks. Pure but for reading the cache."""

from collections.abc import Sequence
from dataclasses import dataclass

from plurality.core.rows import PreferenceRow
from plurality.training.judge.cache import Cache
from plurality.training.judge.requests import next_request, order_texts
from plurality.training.judge.settings import JudgeSettings

CHARACTERS_PER_TOKEN = 4.0
"""Of English text, roughly; what the endpoint itself counted is better and used where the cache has it."""


@dataclass(frozen=True, slots=True)
class Prices:
    """In any currency, for a million tokens."""

    input: float | None = None
    output: float | None = None

    def cost(self, prompt_tokens: float, answer_tokens: float) -> float | None:
        """None if there is no price."""
        if self.input is None and self.output is None:
            return None
        return (prompt_tokens * (self.input or 0.0) + answer_tokens * (self.output or 0.0)) / 1e6


@dataclass(frozen=True, slots=True)
class Estimate:
    """The requests still to be sent."""

    pairs: int
    requests: int
    cached: int
    """Requests whose reply is in the cache."""
    prompt_tokens: int
    answer_tokens: int
    """At most."""
    measured: bool
    """Tokens a character are those of earlier replies, not the rule of thumb."""
    cost: float | None

    def lines(self) -> list[str]:
        """For people."""
        basis = "as this endpoint counted before" if self.measured else "at 4 characters a token"
        text = [
            f"{self.pairs} pairs: {self.requests} requests to send, {self.cached} answered from the cache",
            f"about {self.prompt_tokens} prompt tokens ({basis}), at most {self.answer_tokens} answer tokens",
        ]
        if self.cost is not None:
            text.append(f"cost: at most about {self.cost:.4g}")
        return text


def estimate(rows: Sequence[PreferenceRow], settings: JudgeSettings, cache: Cache, prices: Prices) -> Estimate:
    """Walk through the requests of a run as if every reply brought all answers that it was asked for."""
    seen: set[str] = set()
    cached = characters = answer_tokens = requests = 0
    for row in rows:
        for _, text, want in order_texts(settings, row):
            have = 0
            while have < want:
                request = next_request(settings, text, have=have, want=want)
                known = cache.get(request.key)
                have += len(known.answers) if known else request.answers
                if request.key in seen:
                    continue
                seen.add(request.key)
                cached += known is not None
                if known is None:
                    requests += 1
                    characters += request.characters
                    answer_tokens += request.answer_tokens
    ratio = cache.prompt_tokens / cache.characters if cache.characters else 1 / CHARACTERS_PER_TOKEN
    tokens = round(characters * ratio)
    return Estimate(
        len(rows), requests, cached, tokens, answer_tokens, bool(cache.characters), prices.cost(tokens, answer_tokens)
    )
