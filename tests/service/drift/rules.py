"""What the alerts in monitoring/rules ask, for tests without promtool."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "monitoring" / "rules" / "plurality.yaml"
CASES = RULES.parent / "tests"
_TERM = re.compile(r"(rm_\w+) > (?:(\d[\d.]*)|(rm_\w+))")


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Every alert by name."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def holds(alert: str, gauges: dict[str, float]) -> bool:
    """Whether the expression of an alert on gauges holds now; a gauge without a series holds nothing.

    Raises:
        ValueError: the expression is more than comparisons joined by `and`: promtool alone can tell.
    """
    expression = alerts()[alert]["expr"]
    terms = expression.split(" and ")
    parsed = [_TERM.fullmatch(term.strip()) for term in terms]
    if not all(parsed):
        raise ValueError(f"{alert} is more than comparisons joined by `and`, ask promtool: {expression}")
    return all(match is not None and _exceeds(gauges, *match.groups()) for match in parsed)


def _exceeds(gauges: dict[str, float], name: str, number: str | None, other: str | None) -> bool:
    limit = float(number) if number else gauges.get(other or "")
    return name in gauges and limit is not None and gauges[name] > limit
