"""The alerts in monitoring/rules against the metrics that there are, their cases and their guide. No promtool."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.drift.drift_metrics import DRIFT_METRICS
from service.drift.gauges import Gauges
from service.telemetry.metrics import Metrics
from tests.service.drift.rules import CASES, ROOT, RULES, alerts, holds

GUIDE = ROOT / "docs" / "guides" / "monitoring.md"
OF_PROMETHEUS = {"job", "instance", "le"}
EACH_ALERT = pytest.mark.parametrize("alert", alerts())


def sample_names() -> dict[str, set[str]]:
    """Every name that a query may ask for, with its labels."""
    registry = Metrics(version="0").registry
    Gauges(registry)
    names: dict[str, set[str]] = {}
    for metric in {*registry._names_to_collectors.values()}:
        labels = set(getattr(metric, "_labelnames", ()))
        for name in metric.describe() if hasattr(metric, "describe") else ():
            endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(name.type, ("",))
            names |= {name.name + ending: labels for ending in endings}
    return names


def cases() -> list[dict[str, Any]]:
    """Every case of every file of tests."""
    return [
        case
        for path in sorted(CASES.glob("*.yaml"))
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
    ]


@EACH_ALERT
def test_metrics_and_labels_exist(alert: str) -> None:
    """A query on a metric or a label that nobody exports would be silent for ever."""
    expression, known = alerts()[alert]["expr"], sample_names()
    asked = re.findall(r"\brm_\w+", expression)
    assert asked
    assert set(asked) <= known.keys()
    labels = {label.strip() for group in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for label in group.split(",")}
    labels |= set(re.findall(r"[{,]\s*(\w+)\s*[=!]", expression))
    assert labels <= OF_PROMETHEUS.union(*(known[name] for name in asked))


@EACH_ALERT
def test_each_alert_has_a_case_that_fires_and_one_that_is_silent(alert: str) -> None:
    """And its series have the labels that the service gives them."""
    checks = [(case, check) for case in cases() for check in case["alert_rule_test"] if check["alertname"] == alert]
    assert {bool(check["exp_alerts"]) for _, check in checks} == {True, False}
    known = sample_names()
    for case, _ in checks:
        for entry in case["input_series"]:
            name, labels = re.fullmatch(r"(\w+)\{(.*)\}", entry["series"]).groups()  # type: ignore[union-attr]
            if name != "up":
                assert set(re.findall(r"(\w+)=", labels)) <= known[name] | OF_PROMETHEUS, entry["series"]


def test_cases_are_of_alerts_that_exist() -> None:
    """No case outlives its alert: promtool calls an unknown one silent."""
    assert {check["alertname"] for case in cases() for check in case["alert_rule_test"]} == alerts().keys()


@EACH_ALERT
def test_each_alert_leads_to_its_paragraph(alert: str) -> None:
    """The runbook is a heading of the guide, and the guide names the alert there."""
    rule = alerts()[alert]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    path, anchor = rule["annotations"]["runbook"].split("#")
    assert ROOT / path == GUIDE
    sections = {
        _anchor(part.split("\n", 1)[0]): part
        for part in re.split(r"^#+ ", GUIDE.read_text(encoding="utf-8"), flags=re.M)
    }
    assert f"`{alert}`" in sections[anchor]


def test_the_guide_names_every_gauge_of_the_watch() -> None:
    """With what it says."""
    text = GUIDE.read_text(encoding="utf-8")
    assert [
        name for name in (*DRIFT_METRICS, "groups_total", "group_collapsed_total") if f"`rm_{name}`" not in text
    ] == []


def test_the_guide_s_prometheus_rule(tmp_path: Path) -> None:
    """The guide's command wraps the very rules for the Prometheus operator."""
    [command] = re.findall(r"```sh\n(\(.*?)\n```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    wrapped = command.replace("| kubectl apply -f -", "")
    shown = subprocess.run(["bash", "-euc", wrapped], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    document = yaml.safe_load(shown)
    assert (document["apiVersion"], document["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert document["metadata"] == {"name": "plurality", "namespace": "plurality"}
    assert document["spec"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))


def test_conditions_are_read_as_written() -> None:
    """What other tests rely on: limits, other gauges, missing series, and expressions that it does not understand."""
    high = {"rm_score_psi": 0.3, "rm_score_psi_noise_floor": 0.1}
    assert holds("RewardDriftPsi", high)
    assert not holds("RewardDriftPsi", high | {"rm_score_psi_noise_floor": 0.4})
    assert not holds("RewardDriftPsi", high | {"rm_score_psi": 0.2})
    assert not holds("RewardDriftPsi", {"rm_score_psi": 0.3})
    with pytest.raises(ValueError, match="more than comparisons"):
        holds("VersionRefused", {})


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).strip().replace(" ", "-")
