"""The figures of a file of pairs."""

from plurality.training.loaders.report import describe
from tests.plurality.training.data import row


def test_figures() -> None:
    """Duplicates, contradictions, balance, votes and lengths, on rows that can be counted by hand."""
    rows = [
        row(id="1", response_a="long answer", response_b="no", label=1.0, votes={"a": 4, "b": 0}),
        row(id="2", response_a="no", response_b="long answer", label=1.0),
        row(id="3", prompt="q", response_a="xx", response_b="y", label=0.25, votes={"a": 1, "b": 3}),
        row(id="4", prompt="r", response_a="z", response_b="z ", label=0.5),
        row(id="5", prompt="s", response_a="", response_b="w", label=0.0, source="other"),
    ]
    report = describe(rows)
    assert (report.rows, report.prompts, report.duplicates, report.contradictions) == (5, 4, 1, 1)
    assert (report.same_answers, report.empty_answers, report.ties, report.soft_labels) == (1, 1, 1, 1)
    assert (report.a_preferred, report.longer_preferred) == (0.5, 0.5)
    assert (report.with_votes, report.votes_a_row, report.unanimous, report.contested) == (2, 4.0, 0.5, 0.5)
    assert report.answer_characters == {"median": 2, "p95": 11, "longest": 11}
    assert report.sources == {"unknown": 4, "other": 1}


def test_only_ties() -> None:
    """Where nothing is decided and nobody voted, there is no share to give."""
    report = describe([row(label=0.5)])
    assert (report.longer_preferred, report.unanimous, report.votes_a_row) == (None, None, None)
    assert report.a_preferred == 0.0
