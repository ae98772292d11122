"""Texts of real length and shape for parity and statistics where the user brings none. Generated and seeded."""

import random

from service.domain import ScoreItem

_WORDS = [
    "the", "a", "of", "to", "and", "in", "is", "that", "it", "for", "on", "with", "as", "was", "at", "by", "this", "be",
    "from", "are", "or", "have", "not", "they", "which", "one", "you", "were", "all", "her", "she", "there", "would",
    "their", "we", "him", "been", "has", "when", "who", "will", "no", "more", "if", "out", "so", "up", "said", "what",
    "its", "about", "than", "into", "them", "can", "only", "other", "time", "new", "some", "could", "these", "two",
    "may", "first", "then", "do", "any", "like", "my", "now", "over", "such", "our", "man", "even", "most", "made",
    "after", "also", "did", "many", "off", "before", "must", "well", "back", "through", "years", "much", "where",
    "your", "way", "down", "should", "because", "long", "each", "just", "state", "those", "people", "too", "how",
    "little", "good", "world", "make", "very", "year", "still", "see", "work", "life", "between", "never", "model",
    "reward", "answer", "question", "reason", "because", "however", "therefore", "compare", "explain", "write",
    "summarise", "translate", "python", "function", "list", "protein", "galaxy", "recipe", "budget", "contract",
    "treaty", "rhythm", "quartz", "yeast", "zebra",
]  # fmt: skip
_SCRAPS = (
    "```python\nreturn x + 1\n```", "- first\n- second\n- third", "3.14159", "https://example.org/a?b=c", "naïve café",
    "東京は日本の首都です。", "Привет, мир", "🙂🚀", "שלום", "مرحبا", "x² + y² ≤ z²", "\t", "\n\n", "“quoted”", "don't",
    "A/B",
)  # fmt: skip


def sample_items(count: int, *, seed: int = 0) -> list[ScoreItem]:
    """`count` items with log-normally long texts (median about 100 words together), some empty, some with scripts."""
    rng = random.Random(seed)  # noqa: S311 - not a secret
    return [ScoreItem(_text(rng, 3.2), _text(rng, 4.2)) for _ in range(count)]


def _text(rng: random.Random, log_median: float) -> str:
    if rng.random() < 0.02:
        return ""
    words = sample_words(rng, max(1, round(rng.lognormvariate(log_median, 0.8))))
    return words.capitalize() + rng.choice(".?!")


def sample_words(rng: random.Random, count: int) -> str:
    """Draw words, a few of them fragments of code, numbers and other scripts."""
    return " ".join(rng.choice(_SCRAPS) if rng.random() < 0.04 else rng.choice(_WORDS) for _ in range(count))
