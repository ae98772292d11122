"""From the raw figures of `benchmarks.serving` to docs/results/serving.md and its plots."""

import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

Records = list[dict[str, Any]]
_SHOWN = (("closed", 1, 1), ("closed", 32, 1), ("closed", 32, 32))
_ANSWERS = 8
_VERSIONS = ("plurality", "onnxruntime", "tokenizers", "fastapi", "uvicorn", "torch", "transformers")


def write_report(result: dict[str, Any], folder: Path) -> None:
    """Write serving.md and the two plots into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    records: Records = result["records"]
    parts = [
        "# Serving: against the offline limit and against peers\n",
        f"Made by `{result['command']}`; raw figures in `.bench/serving.json`. {machine()}\n",
        f"{len(result['lengths'])} texts a cell, {tokens(result['lengths'])}. "
        "One trained MiniLM (22.7 M parameters) for all. "
        f"Median over the rounds, least and most in brackets. Profile of the service: {lanes(result)}. "
        "The driver shares the cores; its CPU time is in the last table. Deduplication is off, texts repeat.\n",
        "## Ratios\n",
        *ratios(records),
        "\n## Items a second\n",
        *throughput(records),
        "\n![items a second](serving-throughput.png)\n",
        "## Latency, ms\n",
        *latency(records),
        "\n![latency](serving-latency.png)\n",
        "## Padding\n",
        *padding(result["lengths"], result["padding"]),
        "\n## What each costs\n",
        *costs(result),
        *(f"\nNot run: {name}: {reason}" for name, reason in result["not_run"].items()),
        "\n## The driver\n",
        *driver(records),
        "",
    ]
    (folder / "serving.md").write_text("\n".join(parts), encoding="utf-8")
    plot_throughput(records, folder / "serving-throughput.png")
    plot_latency(records, folder / "serving-latency.png")


def machine() -> str:
    """Cores, processor and versions."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    versions = ", ".join(f"{package} {version(package)}" for package in _VERSIONS)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {name}, Python {platform.python_version()}, {versions}."


def tokens(lengths: Sequence[int]) -> str:
    """The lengths in a few words."""
    cuts = statistics.quantiles(lengths, n=20)
    return (
        f"{statistics.fmean(lengths):.0f} tokens on average (5% below {cuts[0]:.0f}, 5% above {cuts[-1]:.0f}, "
        f"longest {max(lengths)})"
    )


def lanes(result: dict[str, Any]) -> str:
    """Lanes x threads by precision."""
    return ", ".join(f"{precision} {found}" for precision, found in sorted(result["lanes"].items()))


def pick(records: Records, system: str, precision: str, cell: tuple[str, int, int] | None = None) -> Records:
    """The records of a system, one a round."""
    return [
        record
        for record in records
        if record["system"] == system
        and record["precision"] == precision
        and (cell is None or (record["loop"], record["concurrency"], record["per_request"]) == cell)
    ]


def enough(record: dict[str, Any]) -> bool:
    """Whether enough requests were answered for a meaningful rate: a peer's time may be too short."""
    return bool(record["loop"] == "open" or record["items"] >= _ANSWERS * max(1, record["per_request"]))


def per_s(record: dict[str, Any]) -> float:
    """Items a second."""
    return float(record["items"] / record["wall_s"])


def per_cpu_s(record: dict[str, Any]) -> float:
    """Items a second of the server's CPU time."""
    return float(record["items"] / record["cpu_s"])


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Median (least to most)."""
    found = list(values)
    if not found:
        return ""
    middle, least, most = (f"{x:.{digits}f}" for x in (statistics.median(found), min(found), max(found)))
    return f"{middle} ({least}–{most})"


def paired(upper: Records, lower: Records, value: Callable[[dict[str, Any]], float]) -> list[float]:
    """Ratios within each round."""
    below = {record["round"]: value(record) for record in lower}
    return [value(record) / below[record["round"]] for record in upper if below.get(record["round"])]


def ratios(records: Records) -> list[str]:
    """The figures that the targets are about."""
    lines = ["| | fp32 | int8 | target |", "|---|---|---|---|"]
    precisions = ("fp32", "int8")
    values = ((per_cpu_s, "items per CPU second", ">= 0.95"), (per_s, "items a second", "beside it"))
    for size in (1, 32):
        for value, name, target in values:
            found = [
                spread(
                    paired(pick(records, "service", p, ("closed", 32, size)), pick(records, "offline limit", p), value),
                    3,
                )
                for p in precisions
            ]
            lines.append(f"| service / offline, {name}, 32 clients x {size} | {found[0]} | {found[1]} | {target} |")
    lone = [_lone_overhead(records, p) for p in precisions]
    lines.append(f"| lone request: p50 less a direct call's, ms | {lone[0]} | {lone[1]} | <= 1.0 |")
    for size in (1, 32):
        found = [_against_best(records, p, ("closed", 32, size)) for p in precisions]
        lines.append(f"| service / best fp32 peer, 32 clients x {size} | {found[0]} | {found[1]} | >= 2.3, >= 3.5 |")
    return lines


def _lone_overhead(records: Records, precision: str) -> str:
    direct = {r["round"]: r["p50_ms"] for r in pick(records, "direct call", precision)}
    served = pick(records, "service", precision, ("closed", 1, 1))
    return spread((r["p50_ms"] - direct[r["round"]] for r in served), 2)


def _against_best(records: Records, precision: str, cell: tuple[str, int, int]) -> str:
    """Against the fastest fp32 peer of each round, with its name."""
    found: list[float] = []
    names: list[str] = []
    for record in pick(records, "service", precision, cell):
        rivals = [
            (per_s(r), r["system"])
            for name in peers(records)
            for r in pick(records, name, "fp32", cell)
            if r["round"] == record["round"] and enough(r)
        ]
        if rivals:
            best, name = max(rivals)
            found.append(per_s(record) / best)
            names.append(name)
    return f"{spread(found, 2)} {', '.join(sorted(set(names)))}" if found else ""


def peers(records: Records) -> list[str]:
    """Names of the peers, in order."""
    ours = {"service", "offline limit", "direct call"}
    return list(dict.fromkeys(r["system"] for r in records if r["system"] not in ours))


def systems(records: Records) -> list[tuple[str, str]]:
    """(system, precision), ours first."""
    found = {(r["system"], r["precision"]) for r in records}
    order = ["service", "offline limit", *peers(records)]
    return sorted((pair for pair in found if pair[0] in order), key=lambda pair: (order.index(pair[0]), pair[1]))


def cells(records: Records) -> list[tuple[str, int, int]]:
    """Every cell that was measured."""
    found = {(r["loop"], r["concurrency"], r["per_request"]) for r in records if r["system"] not in {"offline limit"}}
    return sorted(found)


def cell_name(cell: tuple[str, int, int]) -> str:
    """For a column's head."""
    loop, concurrency, size = cell
    return f"{concurrency} x {size}" if loop == "closed" else "open loop"


def throughput(records: Records) -> list[str]:
    """Clients x items a request, closed loop."""
    shown = [cell for cell in cells(records) if cell[0] == "closed"]
    lines = [
        f"| | {' | '.join(cell_name(cell) for cell in shown)} |",
        f"|---|{'---|' * len(shown)}",
    ]
    for system, precision in systems(records):
        if system == "offline limit":
            value = spread(per_s(r) for r in pick(records, system, precision))
            lines.append(f"| offline limit {precision} | {value} in one go |{' |' * (len(shown) - 1)}")
            continue
        row = [_rate(pick(records, system, precision, cell)) for cell in shown]
        lines.append(f"| {system} {precision} | {' | '.join(row)} |")
    return lines


def _rate(found: Records) -> str:
    known = [record for record in found if enough(record)]
    return spread(per_s(record) for record in known) if known or not found else "too few answers"


def latency(records: Records) -> list[str]:
    """p50 / p99 by cell; medians over the rounds."""
    shown = cells(records)
    lines = [f"| | {' | '.join(cell_name(cell) for cell in shown)} |", f"|---|{'---|' * len(shown)}"]
    for system, precision in [*systems(records), ("direct call", "fp32"), ("direct call", "int8")]:
        if system != "offline limit":
            row = [_percentiles(pick(records, system, precision, cell)) for cell in shown]
            lines.append(f"| {system} {precision} | {' | '.join(row)} |")
    return lines


def _percentiles(found: Records) -> str:
    known = [r for r in found if r["p50_ms"] is not None and enough(r)]
    if not known:
        return ""
    return " / ".join(f"{statistics.median(r[name] for r in known):.0f}" for name in ("p50_ms", "p99_ms"))


def padding(lengths: Sequence[int], planned: dict[str, float]) -> list[str]:
    """Share of padding that each way of batching has on these texts, all of them queued; computed, not measured."""
    rules = {
        **{f"service {precision}, as its profile plans": share_ for precision, share_ in sorted(planned.items())},
        "in order of arrival, 8 a batch (litserve)": share(lengths, 8, window=1),
        "in order of arrival, 32 a batch (plain with 32 a request)": share(lengths, 32, window=1),
        "sorted, 8 a batch (tuned)": share(lengths, 8, window=len(lengths)),
        "sorted within 256, 32 a batch (infinity)": share(lengths, 32, window=256),
    }
    return [
        "| batches | padding |",
        "|---|---|",
        *(f"| {name} | {100 * value:.0f}% |" for name, value in rules.items()),
    ]


def share(lengths: Sequence[int], size: int, *, window: int) -> float:
    """Padding over padded tokens, when `window` texts are sorted and cut into batches of `size`."""
    ordered = [n for start in range(0, len(lengths), window) for n in sorted(lengths[start : start + window])]
    padded = sum(len(batch) * max(batch) for batch in (ordered[i : i + size] for i in range(0, len(ordered), size)))
    return 1 - sum(ordered) / padded


def costs(result: dict[str, Any]) -> list[str]:
    """Start, memory, disk."""
    lines = ["| | ready after, s | resident, MB | installed, MB | |", "|---|---|---|---|---|"]
    for fact in sorted(result["facts"], key=lambda fact: str(fact["system"])):
        installed = f"{fact['installed_mb']:.0f}" if fact["installed_mb"] else "see below"
        lines.append(
            f"| {fact['system']} | {fact['start_s']:.1f} | {fact['resident_mb']:.0f} | {installed} | {fact['note']} |"
        )
    return lines


def driver(records: Records) -> list[str]:
    """CPU time of the load generator."""
    lines = ["| cell of the service | driver's CPU, % of the server's |", "|---|---|"]
    for cell in cells(records):
        for precision in ("fp32", "int8"):
            found = pick(records, "service", precision, cell)
            if found:
                value = spread((100 * r["driver_cpu_s"] / r["cpu_s"] for r in found), 2)
                lines.append(f"| {precision}, {cell_name(cell)} | {value} |")
    return lines


def plot_throughput(records: Records, path: Path) -> None:
    """Bars with the spread of the rounds."""
    shown = [cell for cell in _SHOWN if cell in cells(records)]
    names = systems(records)
    figure, axes = plt.subplots(figsize=(11, 4.5))
    width = 0.8 / len(names)
    for place, (system, precision) in enumerate(names):
        cell_of = {cell: None if system == "offline limit" else cell for cell in shown}
        found = [[r for r in pick(records, system, precision, cell_of[cell]) if enough(r)] for cell in shown]
        values = [[per_s(r) for r in rows] or [0.0] for rows in found]
        middle = [statistics.median(found) for found in values]
        low = [m - min(found) for m, found in zip(middle, values, strict=True)]
        high = [max(found) - m for m, found in zip(middle, values, strict=True)]
        at = [x + width * place for x in range(len(shown))]
        axes.bar(at, middle, width, yerr=[low, high], capsize=2, label=f"{system} {precision}")
    axes.set_xticks([x + 0.4 - width / 2 for x in range(len(shown))], [cell_name(cell) for cell in shown])
    axes.set_xlabel("clients x items a request")
    axes.set_ylabel("items a second")
    axes.legend(fontsize=8, ncol=2)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_latency(records: Records, path: Path) -> None:
    """p50 and p99 over the number of clients, one item a request."""
    figure, axes = plt.subplots(figsize=(8, 4.5))
    for system, precision in systems(records):
        found = sorted({cell for cell in cells(records) if cell[0] == "closed" and cell[2] == 1})
        points = [(cell[1], pick(records, system, precision, cell)) for cell in found]
        points = [(clients, rows) for clients, rows in points if rows and rows[0]["p50_ms"] is not None]
        if points and system != "offline limit":
            clients = [entry[0] for entry in points]
            [line] = axes.plot(
                clients, [statistics.median(r["p50_ms"] for r in rows) for _, rows in points], "o-",
                label=f"{system} {precision}",
            )  # fmt: skip
            tail = [statistics.median(r["p99_ms"] for r in rows) for _, rows in points]
            axes.plot(clients, tail, "^:", color=line.get_color())
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("clients, one item a request")
    axes.set_ylabel("ms: p50 solid, p99 dotted")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
