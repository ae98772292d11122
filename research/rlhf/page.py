"""docs/results/rlhf.md: what was run, what came out, with spreads, and the command of each figure."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from research.rlhf.curves import Best, Point, best_of_n_curve, run_curve
from research.rlhf.folder import Folder, read_json, read_jsonl
from research.rlhf.oracle import Oracle
from research.rlhf.plots import NAMES, Runs, plot_best_of_n, plot_kl, plot_training
from research.rlhf.prompts import Prompts, load_prompts
from research.rlhf.text import ABOUT, READING

_KINDS = ("grpo", "control", "ppo")
_WITH_RIGHT_ANSWER = frozenset({"capitals", "knowledge", "how-to"})


def write_page(folder: Folder, output: Path) -> None:
    """Evaluate the finished runs, plot them and write the page, which names the missing ones."""
    output.mkdir(parents=True, exist_ok=True)
    prompts = load_prompts(folder)
    oracle = Oracle(prompts)
    runs = _runs(folder, oracle, prompts)
    best = _best(folder, oracle)
    parts = [ABOUT]
    if runs:
        plot_training(runs, output / "rlhf-training.png")
        parts += _training(runs)
    if best:
        plot_best_of_n(best, output / "rlhf-best-of-n.png")
        parts += _best_table(best)
    if runs and best:
        plot_kl(runs, best, output / "rlhf-kl.png")
        parts += ["## For the same distance from the start", "`python -m research.rlhf page`"]
        parts += ["![reward and utility against KL](rlhf-kl.png)"]
    parts += _restart(folder.run("restart", 0))
    missing = [name for name in (*_KINDS, "best-of-n", "restart") if not list(_finished(folder, name))]
    parts += [f"**Not run:** {', '.join(missing)}."] if missing else []
    (output / "rlhf.md").write_text("\n\n".join([*parts, READING]) + "\n", encoding="utf-8")


def _finished(folder: Folder, kind: str) -> list[Path]:
    return sorted(path.parent for path in folder.root.glob(f"runs/{kind}-*/done.json"))


def _runs(folder: Folder, oracle: Oracle, prompts: Prompts) -> Runs:
    objective = frozenset(p.text for p in prompts.held_out if p.family in _WITH_RIGHT_ANSWER)
    found = {kind: [run_curve(run, oracle, objective) for run in _finished(folder, kind)] for kind in _KINDS}
    return {kind: curves for kind, curves in found.items() if curves}


def _best(folder: Folder, oracle: Oracle) -> list[Best]:
    finished = _finished(folder, "best-of-n")
    return best_of_n_curve(read_jsonl(finished[0] / "ranked.jsonl"), oracle) if finished else []


def _training(runs: Runs) -> list[str]:
    columns: tuple[tuple[str, Callable[[Point], float], str], ...] = (
        ("proxy reward", lambda p: p.reward, ".2f"),
        ("TRUE utility", lambda p: p.utility, ".2f"),
        ("right answers", lambda p: p.correct, ".2f"),
        ("tokens", lambda p: p.tokens, ".1f"),
        ("KL, nats", lambda p: p.kl, ".1f"),
        ("exact", lambda p: p.manners["exact"], ".0%"),
        ("off-prompt", lambda p: p.manners["off-prompt"], ".0%"),
        ("unparsed", lambda p: p.manners["unparsed"], ".0%"),
    )
    start = [curve[0] for curves in runs.values() for curve in curves][:1]
    rows = [_row("start policy", start, columns)]
    for kind, curves in runs.items():
        updates = curves[0][-1].step
        rows.append(_row(f"{NAMES[kind]}, {updates} updates, {_count(curves)}", [c[-1] for c in curves], columns))
    head = "| | " + " | ".join(name for name, _, _ in columns) + " |\n|---|" + "---|" * len(columns)
    return [
        "## GRPO, its control and PPO",
        "`python -m research.rlhf grpo`, `... control`, `... ppo`, then `... page`",
        "![training curves](rlhf-training.png)",
        f"{head}\n" + "\n".join(rows),
        "Means over seeds at the last update, in brackets the least and the most. "
        + " ".join(_story(NAMES[kind], curves) for kind, curves in runs.items()),
    ]


def _story(name: str, curves: Sequence[Sequence[Point]]) -> str:
    """Where the proxy went and where the truth was best, from the means over seeds."""
    moments = list(zip(*curves, strict=False))
    rewards = [mean([point.reward for point in moment]) for moment in moments]
    utilities = [mean([point.utility for point in moment]) for moment in moments]
    best = utilities.index(max(utilities))
    return (
        f"**{name}**: the proxy reward went from {rewards[0]:.2f} to {rewards[-1]:.2f}; the true utility from "
        f"{utilities[0]:.2f} to {utilities[-1]:.2f}, and was best, {utilities[best]:.2f}, after "
        f"{moments[best][0].step} updates."
    )


def _count(curves: Sequence[object]) -> str:
    return f"{len(curves)} seed{'s' if len(curves) > 1 else ''}"


def _row(name: str, points: Sequence[Point], columns: Sequence[tuple[str, Callable[[Point], float], str]]) -> str:
    cells = [_spread([value(point) for point in points], style) for _, value, style in columns]
    return f"| {name} | " + " | ".join(cells) + " |"


def _spread(values: Sequence[float], style: str) -> str:
    """Mean, with the least and the most in brackets."""
    middle = f"{mean(values):{style}}"
    return middle if len(values) == 1 else f"{middle} ({min(values):{style}} to {max(values):{style}})"


def _best_table(best: Sequence[Best]) -> list[str]:
    rows = [f"| {b.n} | {b.kl:.2f} | {_interval(b.reward)} | {_interval(b.utility)} | {b.ceiling:.2f} |" for b in best]
    head = "| n | KL, nats | proxy reward | TRUE utility | utility, chosen by it |\n|---|---|---|---|---|"
    return [
        "## Best of n",
        "`python -m research.rlhf best-of-n`, then `... page`",
        "![best of n](rlhf-best-of-n.png)",
        f"{head}\n" + "\n".join(rows),
    ]


def _interval(value: tuple[float, float, float]) -> str:
    return f"{value[0]:.2f} ({value[1]:.2f} to {value[2]:.2f})"


def _restart(run: Path) -> list[str]:
    if not (run / "outcome.json").exists():
        return []
    found: Mapping[str, Any] = read_json(run / "outcome.json")
    versions = {version[:12] for version in found["versions"]}
    return [
        "## The service is killed under a running GRPO",
        "`python -m research.rlhf restart`, and as a test `python -m pytest tests/research/rlhf`",
        f"The trainer killed the service (SIGKILL) just before {found['kills']} of its reward calls. The service was "
        f"started again on the same port, the client asked again, and the run reached the last of its {found['steps']} "
        f"updates. Of the {found['rewards']} rewards that the trainer was given, {found['missing']} were None and "
        f"{found['wrong']} differed by more than 1e-5 from the service's reward of the same text, asked afterwards "
        f"without the client (largest difference {found['largest_difference']:.1e}). Versions seen, in the run and "
        f"afterwards: {', '.join(sorted(versions))}.",
    ]
