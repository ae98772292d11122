"""What all pages share: head, tables, intervals and verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import machine
from plurality.stats import Interval
from research.preferences.store import Run

OUTPUT = Path("docs/results/studies")
ENGINE = (
    "all-MiniLM-L6-v2 (22.7 M parameters); embeddings and all layers but the topmost are frozen, their activations "
    "cached once for each distinct text (float16); the topmost layer, pooler and head are trained (AdamW, 10 % "
    "warm-up, linear decay, dropout 0.1, fp32)."
)


@dataclass(frozen=True, slots=True)
class Page:
    """One result page and its plots."""

    name: str
    folder: Path = OUTPUT

    def plot(self, kind: str) -> Path:
        """Path of a plot."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{self.name}-{kind}.png"

    def image(self, kind: str, words: str) -> str:
        """The plot in the page."""
        return f"![{words}]({self.name}-{kind}.png)"

    def write(self, title: str, parts: Iterable[str]) -> None:
        """The page, with its command and machine."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = f"Made by `PREFERENCE_DATA=... python -m research.preferences {self.name}` on {machine()}"
        (self.folder / f"{self.name}.md").write_text(
            "\n\n".join([f"# {title}", command, *parts]) + "\n", encoding="utf-8"
        )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def shown(found: Interval, digits: int = 3) -> str:
    """`0.634 [0.601, 0.662]`."""
    return f"{found.estimate:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def signed(found: Interval, digits: int = 3) -> str:
    """`+0.020 [+0.004, +0.035]`, bold where the interval excludes 0."""
    text = f"{found.estimate:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"
    return f"**{text}**" if excludes_zero(found) else text


def excludes_zero(found: Interval) -> bool:
    """Whether the interval lies on one side of 0."""
    return found.low > 0 or found.high < 0


def verdict(name: str, differences: Mapping[str, Interval], *, lower_is_better: bool, than: str) -> str:
    """One line: which model is better, which is worse, which cannot be told apart."""
    better, worse, undecided = [], [], []
    for model, found in differences.items():
        if not excludes_zero(found):
            undecided.append(model)
        elif (found.estimate < 0) == lower_is_better:
            better.append(model)
        else:
            worse.append(model)
    said = {f"better than {than}": better, "worse": worse, "interval includes 0": undecided}
    return f"- **{name}**: {'; '.join(f'{kind}: {_listed(who)}' for kind, who in said.items())}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def cost(runs: Mapping[str, Sequence[Run]]) -> str:
    """Settings and time of the runs, in a line."""
    count = sum(map(len, runs.values()))
    seconds = [run.seconds for found in runs.values() for run in found]
    rates = ", ".join(f"{name} {found[0].settings['learning_rate']:g}" for name, found in runs.items())
    return (
        f"{count} runs, {min(seconds):.0f} to {max(seconds):.0f} s each on a shared core (one thread). "
        f"Learning rates chosen: {rates}."
    )
