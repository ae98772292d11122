"""What an experiment's report says of a candidate, and what silence means."""

from pathlib import Path
from typing import Any

import pytest

from plurality.sidecar.ask_service import ask_service, read_report
from tests.reporting_service import answering


def body(version: str | None, action: str = "promote") -> dict[str, Any]:
    report = (
        None
        if version is None
        else {
            "treatment": {"version": version},
            "control": {"version": "a" * 64},
        }
    )
    arms = [{"arm": "new", "report": report, "verdict": {"action": action, "reasons": ["It gains."]}}]
    return {"experiment": "taste", "arms": arms}


def test_the_verdict_on_this_very_version() -> None:
    assert read_report(body("c" * 64), "c" * 64).action == "promote"
    assert read_report(body("c" * 64, "roll_back"), "c" * 64).reasons == ("It gains.",)


def test_a_verdict_on_another_version_says_nothing() -> None:
    assert read_report(body("d" * 64), "c" * 64).action == "hold"
    assert read_report(body(None), "c" * 64).action == "hold"


def test_a_service_that_does_not_answer_says_nothing() -> None:
    asked = ask_service("http://127.0.0.1:9", "taste", "c" * 64)
    assert asked.action == "hold"
    assert "did not answer" in asked.reasons[0]


def test_the_version_that_it_was_compared_with() -> None:
    assert read_report(body("c" * 64), "c" * 64).control == "a" * 64


@pytest.mark.parametrize(
    "odd", [None, [], 1, {}, {"arms": None}, {"arms": [None]}, {"arms": [{"arm": "x"}]}, {"arms": [{"report": {}}]}]
)
def test_an_odd_body_is_a_hold(odd: Any) -> None:
    assert read_report(odd, "c" * 64).action == "hold"
    with answering(odd) as service:
        assert ask_service(service.url, "taste", "c" * 64).kind == "odd"


def test_the_key_is_read_at_each_call(tmp_path: Path) -> None:
    key = tmp_path / "key"
    with answering(body("c" * 64)) as service:
        for word in ("first", "second"):
            key.write_text(f"# of the reports\n{word}\n")
            assert ask_service(service.url, "taste", "c" * 64, key).action == "promote"
        key.write_text("\n")
        empty = ask_service(service.url, "taste", "c" * 64, key)
        gone = ask_service(service.url, "taste", "c" * 64, tmp_path / "none")
    assert service.keys == ["Bearer first", "Bearer second"]
    assert empty.action == gone.action == "hold"
    assert "write one of the service's keys into it" in empty.reasons[0]
    assert "service_key_file" in gone.reasons[0]


@pytest.mark.parametrize(("status", "cure"), [(401, "service_key_file"), (403, "service_key_file"), (404, "define it")])
def test_a_refusal_names_its_cure(status: int, cure: str) -> None:
    with answering({"error": {}}, status=status) as service:
        asked = ask_service(service.url, "taste", "c" * 64)
    assert asked.action == "hold"
    assert cure in asked.reasons[0]
