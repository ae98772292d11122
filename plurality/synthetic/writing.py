"""Sentences around an answer: each says nothing of substance and carries a known amount of tone."""

import random
from dataclasses import dataclass

from plurality.synthetic.population import Array, attributes

_TONES: dict[str, tuple[dict[str, float], tuple[str, ...]]] = {
    "warm": (
        {"warm": 1.0},
        ("Great question!", "Happy to help!", "I hope this helps you.", "What a lovely thing to ask.", "You are doing well!",
         "Glad you asked!", "Thanks for asking, friend.", "Take care!", "Wishing you all the best.", "Always a pleasure!"),
    ),
    "cold": (
        {"warm": -0.8},
        ("Obviously.", "As anyone knows.", "Next time look it up.", "Not that it matters.", "This is basic.",
         "I should not have to say this.", "Try to keep up.", "Fine."),
    ),
    "formal": (
        {"formal": 1.0},
        ("With respect to your enquiry:", "I would submit the following.", "Please be advised.", "Yours faithfully.",
         "Kindly note the above.", "In accordance with your request:", "It is my considered view."),
    ),
    "casual": (
        {"formal": -0.9},
        ("Yeah, so here goes.", "No worries!", "Gotcha.", "Okay dokey.", "Cheers!", "Sure thing!", "Hey there!", "Easy peasy."),
    ),
    "funny": (
        {"funny": 1.0},
        ("My cat would agree.", "No penguins were consulted.", "Drum roll, please!", "I checked with my rubber duck.",
         "Even my toaster knows that.", "Insert trumpet sound here.", "My crystal ball is rarely this clear."),
    ),
    "plain": (
        {},
        ("Here is my answer.", "That is it.", "So much for that.", "This is what I can say.", "In short:", "To answer that:",
         "That is the answer.", "As for your question:", "So:", "Here it is.", "There you have it.", "All told:"),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """A text and what the annotators will see in it."""

    text: str
    attributes: Array


def dress(rng: random.Random, core: str, tones: list[str], **known: float) -> Answer:
    """Put one sentence of each tone before or after the core; the order and the wording are random."""
    front: list[str] = []
    back: list[str] = []
    total = attributes(**known)
    for tone in tones:
        values, sentences = _TONES[tone]
        sentence = rng.choice(sentences)
        place = front if sentence.endswith(":") or rng.random() < 0.5 else back
        place.append(sentence)
        total = total + attributes(**values)
    return Answer(" ".join([*front, core, *back]), total)


def some_tones(rng: random.Random, *, most: int = 2) -> list[str]:
    """Up to `most` different tones; plain ones make up half, so that length says little."""
    count = rng.randint(0, most)
    kinds = ["plain", "plain", "plain", rng.choice(("warm", "cold")), rng.choice(("formal", "casual")), "funny"]
    return rng.sample(kinds, count)
