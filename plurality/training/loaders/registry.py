"""Every set by name: where it is, under which license, who judged, how it is read, what to know before using it.

Licenses are those of the cards and repositories as read in 2026; check them again before publishing anything made of a
set.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from plurality.training.errors import TrainingError
from plurality.training.loaders import (  # fmt: skip
    gptj,
    hh,
    oasst,
    prism,
    summarize,
    trl,
    ultrafeedback,
    webgpt,
)
from plurality.training.loaders.collect import Loaded, Record
from plurality.training.loaders.files import SUFFIXES
from plurality.training.loaders.hub import PARQUET, Hub


class Rows(Protocol):
    """A set's pure function."""

    def __call__(self, records: Iterable[Record], *, source: str) -> Loaded: ...


@dataclass(frozen=True, slots=True)
class DataSet:
    """One set."""

    name: str
    rows: Rows
    origin: Hub | None
    license: str
    judged: str
    pairs: str
    """About how many, for the list."""
    caution: str = ""

    @property
    def needs(self) -> str:
        """What must be there to prepare it."""
        return f"hub {self.origin.name}, or --from FILE" if self.origin else "--from FILE"


def _hub(name: str, rows: Callable[..., Loaded], hub: Hub, **about: Any) -> DataSet:
    return DataSet(name, rows, hub, **about)


_HH = {"license": "MIT", "judged": "1 human", "caution": "offensive red-team dialogue"}
_ULTRA = {"license": "MIT", "judged": "GPT-4 ratings", "pairs": "380,000"}
_OASST = {"license": "Apache-2.0", "judged": "humans, ranks merged"}

_SETS = (
    _hub("hh-rlhf", hh.rows, Hub("Anthropic/hh-rlhf", test="test"), pairs="169,000", **_HH),
    _hub("hh-rlhf-helpful", hh.rows, Hub("Anthropic/hh-rlhf", data_dir="helpful-base", test="test"),
         pairs="46,000", **_HH),
    _hub("hh-rlhf-harmless", hh.rows, Hub("Anthropic/hh-rlhf", data_dir="harmless-base", test="test"),
         pairs="45,000", **_HH),
    _hub("webgpt", webgpt.rows,
         Hub("openai/webgpt_comparisons", revision=PARQUET, data_files={"train": "default/train/*.parquet"}),
         license="not stated on its card", judged="1 human, graded", pairs="19,600",
         caution="no official test split; many ties; answers quote [1] sources that the prompt lacks"),
    _hub("summarize", summarize.rows,
         Hub("openai/summarize_from_feedback", "comparisons", test="validation", revision=PARQUET,
             data_files={s: f"comparisons/{s}/*.parquet" for s in ("train", "validation")}),
         license="not stated on its card; the Reddit posts CC-BY-4.0",
         judged="humans, several a pair in evaluation batches", pairs="179,000",
         caution="validation also holds CNN/DM articles (category cnndm) and other policies than train"),
    _hub("gptj-synthetic", gptj.rows, Hub("Dahoas/synthetic-instruct-gptj-pairwise"),
         license="not stated on its card", judged="nobody: by construction", pairs="33,000",
         caution="tells an instruct model from GPT-J; seed models reach 99.9 %"),
    _hub("prism", prism.rows, Hub("HannahRoseKirk/prism-alignment", "utterances"),
         license="prompts CC-BY-4.0, answers CC-BY-NC-4.0", judged="1 human a conversation, 1,396 people",
         pairs="67,000", caution="ratings of one person; pairs of one turn are not independent"),
    _hub("ultrafeedback", ultrafeedback.rows, Hub("openbmb/UltraFeedback"),
         caution="score: mean of four aspects; holds TruthfulQA's questions (category truthful_qa)", **_ULTRA),
    _hub("ultrafeedback-overall", partial(ultrafeedback.rows, score="overall"), Hub("openbmb/UltraFeedback"),
         caution="score: overall_score, its 10s checked; holds TruthfulQA's questions", **_ULTRA),
    _hub("oasst1", partial(oasst.rows, languages=("en",)), Hub("OpenAssistant/oasst1", test="validation"),
         pairs="19,000", caution="English only", **_OASST),
    _hub("oasst1-all", oasst.rows, Hub("OpenAssistant/oasst1", test="validation"),
         pairs="?", caution="35 languages, in category", **_OASST),
    DataSet("trl", trl.rows, None, "the set's own", "the set's own", "any",
            "any set of the hub with these columns: give ORG/NAME instead of a name"),
)  # fmt: skip

SETS = {entry.name: entry for entry in _SETS}


def find(name: str) -> DataSet:
    """A set by its name; ORG/NAME is a TRL-style set of the hub.

    Raises:
        TrainingError: no such set.
    """
    if name in SETS:
        return SETS[name]
    if name.removesuffix(".gz").endswith(SUFFIXES):
        raise TrainingError(
            f"{name[:80]} is a file: name its set and give the file with --from, such as trl --from FILE"
        )
    if name.count("/") == 1:
        return DataSet(name, trl.rows, Hub(name), "see its card", "see its card", "?", "read as TRL-style columns")
    known = ", ".join(sorted(SETS))
    raise TrainingError(f"no set is called {name[:80]!r}; known: {known}; or ORG/NAME for a TRL-style set of the hub")
