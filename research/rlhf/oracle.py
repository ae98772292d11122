"""What the simulated population truly thinks of a text, exact for whatever the demo's generator could have written.

A policy may leave that language. The rules, which agree with the generator inside it:
1. Each tone counts once: the generator never uses a tone other than plain twice, so a second compliment adds nothing.
2. The sentences that are no tone are the answer's substance, and their attributes are averaged. One that is not an
   answer to this prompt has none: not correct, not fitting, neither cautious nor detailed. No substance: none either.
`Verdict.manner` says which texts needed a rule; a study reports their shares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from plurality.synthetic.population import ATTRIBUTES, Array, Population, make_population
from research.rlhf.prompts import SEED, Prompts, StudyPrompt, sentences, tone_sentences

Manner = Literal["exact", "stretched", "off-prompt", "unparsed"]
"""exact: one substantial sentence of this prompt and tones as the generator uses them. stretched: known sentences in
a number or mixture that it never writes. off-prompt: with a sentence that answers another prompt. unparsed: with words
that are no sentence of the generator's."""
_MOST_TONES = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """One text's true worth."""

    utility: float
    manner: Manner
    correct: float
    """1 for the right answer to a prompt that has one, else 0."""


class Oracle:
    """Values texts of known prompts."""

    def __init__(self, prompts: Prompts, population: Population | None = None) -> None:
        self._population = population or make_population(seed=SEED)
        self._prompts = prompts.by_text()
        self._tones = tone_sentences()
        self._elsewhere = {core for prompt in self._prompts.values() for core in prompt.cores}

    def judge(self, prompt: str, text: str) -> Verdict:
        """The population's mean utility of a text in answer to a prompt of the study."""
        asked = self._prompts[prompt]
        parts = sentences(text)
        tones = [self._tones[part] for part in parts if part in self._tones]
        substance = [part for part in parts if part not in self._tones]
        zero = np.zeros(len(ATTRIBUTES))
        cores = [np.array(asked.cores.get(part, zero)) for part in substance]
        total = np.mean(cores, axis=0) if cores else zero
        correct = float(total[ATTRIBUTES.index("correct")])
        for values in dict(tones).values():  # by tone: each counts once
            total = total + values
        return Verdict(self._population.mean_utility(total), self._manner(asked, tones, substance), correct)

    def _manner(self, asked: StudyPrompt, tones: list[tuple[str, Array]], substance: list[str]) -> Manner:
        if any(part not in asked.cores and part not in self._elsewhere for part in substance):
            return "unparsed"
        if any(part not in asked.cores for part in substance):
            return "off-prompt"
        colored = [tone for tone, _ in tones if tone != "plain"]
        usual = len(substance) == 1 and len(tones) <= _MOST_TONES and len(set(colored)) == len(colored)
        return "exact" if usual else "stretched"


def shares(verdicts: list[Verdict]) -> Mapping[Manner, float]:
    """How often each manner is among them."""
    names: tuple[Manner, ...] = ("exact", "stretched", "off-prompt", "unparsed")
    return {name: sum(v.manner == name for v in verdicts) / len(verdicts) for name in names}
