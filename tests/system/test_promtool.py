"""Prometheus' own tool on the alerts, on /metrics of a real process, and on the gauges of a planted case."""

import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from service.app import Service
from tests.api import settings_for, with_api
from tests.e2e.process import serving
from tests.service.drift.policy import Policy, publish_length_model
from tests.service.drift.rules import CASES, RULES, alerts
from tests.service.drift.test_hacking import ALERT, GROWING, WATCH, train

LABELS = {"model": "tiny", "version": "0123456789ab"}


def promtool(*words: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run it to its end."""
    return subprocess.run(
        ["promtool", *words], input=text, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip


def test_rules_are_valid() -> None:
    """Every expression parses."""
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(alerts())} rules found" in checked.stdout


def test_each_alert_fires_on_the_bad_series_and_is_silent_on_the_good() -> None:
    """All cases of all alerts."""
    tested = promtool("test", "rules", *map(str, sorted(CASES.glob("*.yaml"))))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("expression", ["vector(0) > 1", "vector(1)"], ids=["never", "always"])
def test_the_cases_can_fail(tmp_path: Path, expression: str) -> None:
    """With any one alert that never, or always, fires, its cases fail."""
    (tmp_path / "tests").mkdir()
    passed = []
    for alert in alerts():
        document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
        for group in document["groups"]:
            group["rules"] = [
                rule | {"expr": expression} if rule["alert"] == alert else rule for rule in group["rules"]
            ]
        (tmp_path / RULES.name).write_text(yaml.safe_dump(document), encoding="utf-8")
        for path in CASES.glob("*.yaml"):
            cases = yaml.safe_load(path.read_text(encoding="utf-8"))
            own = [case for case in cases["tests"] if case["alert_rule_test"][0]["alertname"] == alert]
            if own:
                (tmp_path / "tests" / path.name).write_text(yaml.safe_dump(cases | {"tests": own}), encoding="utf-8")
                passed += [alert] * (promtool("test", "rules", str(tmp_path / "tests" / path.name)).returncode == 0)
    assert passed == []


def test_metrics_of_a_real_service_are_clean(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`promtool check metrics` has nothing to say about /metrics, the watch's gauges included."""
    for name, value in WATCH.items():
        monkeypatch.setenv(f"PLURALITY_WATCH__{name.upper()}", str(value))
    monkeypatch.setenv("PLURALITY_WATCH__PERIOD_S", "0.05")
    policy = Policy(seed=1)
    with serving(published) as served:
        for _ in range(50):
            prompt, answers = policy.group()
            body = {"prompt": prompt, "responses": answers}
            assert httpx.post(served.api + "/rm/v1/rank", json=body).status_code == 200
        text = ""
        while "rm_reward_shift_by_length{" not in text:
            assert served.process.poll() is None
            text = httpx.get(served.ops + "/metrics").text
        assert served.stop() == 0
    checked = promtool("check", "metrics", text=text)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.parametrize(("means", "fires"), [(GROWING, True), ([40.0] * 40, False)], ids=["hacking", "stationary"])
def test_a_planted_case_of_reward_hacking(store: Path, tmp_path: Path, means: list[float], fires: bool) -> None:
    """The gauges of every step of a policy, given to the real rules: they fire, or stay silent to the end."""
    seen: list[dict[str, float]] = []

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        seen.extend(await train(client, service, Policy(seed=2), means))

    publish_length_model(store)
    with_api(settings_for(store, watch=WATCH), story)
    rule = alerts()[ALERT]
    expected = [{"exp_labels": LABELS | rule["labels"], "exp_annotations": rule["annotations"]}] if fires else []
    labels = ",".join(f'{key}="{value}"' for key, value in LABELS.items())
    series = [
        {"series": f"{name}{{{labels}}}", "values": " ".join(str(step.get(name, "_")) for step in seen)}
        for name in sorted({name for step in seen for name in step})
        if name.startswith(("rm_response", "rm_reward"))
    ]
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "alert_rule_test": [
                    {"eval_time": f"{minute}m", "alertname": ALERT, "exp_alerts": expected if minute > 35 else []}
                    for minute in (0, 6, 12, 36, 39)
                ],
            }
        ],
    }
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    tested = promtool("test", "rules", str(tmp_path / "case.yaml"))
    assert tested.returncode == 0, tested.stdout + tested.stderr
