"""What an experiment's report says of a candidate, and what silence means."""

from typing import Any

from plurality.sidecar.verdict import ask, read


def body(version: str | None, action: str = "promote") -> dict[str, Any]:
    report = None if version is None else {"treatment": {"version": version}}
    arms = [{"arm": "new", "report": report, "verdict": {"action": action, "reasons": ["It gains."]}}]
    return {"experiment": "taste", "arms": arms}


def test_the_verdict_on_this_very_version() -> None:
    assert read(body("c" * 64), "c" * 64).action == "promote"
    assert read(body("c" * 64, "roll_back"), "c" * 64).reasons == ("It gains.",)


def test_a_verdict_on_another_version_says_nothing() -> None:
    assert read(body("d" * 64), "c" * 64).action == "hold"
    assert read(body(None), "c" * 64).action == "hold"


def test_a_service_that_does_not_answer_says_nothing() -> None:
    asked = ask("http://127.0.0.1:9", "taste", "c" * 64)
    assert asked.action == "hold"
    assert "did not answer" in asked.reasons[0]
