"""The annotators' file: every way to write an option, the misprint, majorities, and bad cells by line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurality.evaluation.votes import Annotation, Votes, read_votes
from plurality.training.errors import DataError, TrainingError

HEAD = "id,annotator,task1,task2,task3"
PRINTED = ["10A-0B", "9A-1B", "8A-2B", "7A-3B", "6A-4B", "5A-5B", "4A-6B", "3A-7B", "2A-8B", "1A-9B", "10A-0B"]
"""The options as the paper prints them."""


def write(path: Path, *lines: str, head: str = HEAD) -> Path:
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def share(tmp_path: Path, cell: str) -> float:
    """p* of one annotator's answer to task 3."""
    found = read_votes(write(tmp_path / "v.csv", f'q,x,A,B,"{cell}"'))
    return found.annotations["q"].preference


@pytest.mark.parametrize("option", range(1, 12))
@pytest.mark.parametrize("form", ["{n}", "{n})", "{n}){text}", "{n}) {text}", " {n}. {text} "])
def test_options_as_printed(tmp_path: Path, option: int, form: str) -> None:
    """Option n is 11 − n of ten for a, whatever is printed beside it: 11 is 0A-10B although it reads 10A-0B."""
    cell = form.format(n=option, text=PRINTED[option - 1])
    assert share(tmp_path, cell) == (11 - option) / 10


def test_option_11_corrected(tmp_path: Path) -> None:
    """A form that prints the last option rightly reads the same."""
    assert share(tmp_path, "11) 0A-10B") == share(tmp_path, "11)10A-0B") == share(tmp_path, "0A-10B") == 0.0


@settings(max_examples=30)
@given(st.integers(0, 10), st.sampled_from(["{a}A-{b}B", "{a}-{b}", "{a} A - {b} B", "{a}a-{b}b"]))
def test_counts_as_written(tmp_path_factory: pytest.TempPathFactory, for_a: int, form: str) -> None:
    """Without a number the counts are taken as written."""
    cell = form.format(a=for_a, b=10 - for_a)
    assert share(tmp_path_factory.mktemp("votes"), cell) == for_a / 10


def test_three_annotators(tmp_path: Path) -> None:
    """As in the paper: categories by majority, p* the mean of three estimates over ten."""
    found = read_votes(write(tmp_path / "v.csv", "q,x,A,B,2", "q,y,B,B,11", "q,z,A) There is only one,A,6"))
    assert found.annotations == {"q": Annotation(3, (9 + 0 + 5) / 30, single_correct=True, distinguishable=True)}
    assert found.notes == ["1 pairs by 3 annotators"]


def test_a_line_a_pair(tmp_path: Path) -> None:
    """Columns for each annotator read the same as lines for each."""
    head = "id,task1_1,task2_1,task3_1,task1_2,task2_2,task3_2,task1_3,task2_3,task3_3"
    wide = read_votes(write(tmp_path / "w.csv", "q,single,distinguishable,2,B,B,11,A,A,6", head=head))
    long = read_votes(write(tmp_path / "l.csv", "q,1,A,B,2", "q,2,B,B,11", "q,3,A,A,6"))
    assert wide == long


def test_ties_are_in_neither_category(tmp_path: Path) -> None:
    """As many for the one as for the other: no category, and a note says how many."""
    found = read_votes(write(tmp_path / "v.csv", "q,x,A,B,1", "q,y,B,B,3"))
    assert found.annotations["q"] == Annotation(2, 0.9, single_correct=None, distinguishable=True)
    assert any(note.startswith("1 pairs without a majority in task1") for note in found.notes)


def test_only_preferences(tmp_path: Path) -> None:
    """Without the columns of tasks 1 and 2 there are no categories."""
    found = read_votes(write(tmp_path / "v.csv", "q,x,4", head="id,annotator,task3"))
    assert found.annotations["q"] == Annotation(1, 0.7, single_correct=None, distinguishable=None)


def test_the_misprint_without_numbers_is_pointed_at(tmp_path: Path) -> None:
    """10A-0B without numbers, and never 0A-10B: option 11 may be among them, and the reader is told."""

    def noted(*cells: str) -> bool:
        lines = [f"q{i},x,A,B,{cell}" for i, cell in enumerate(cells)]
        return any("write the numbers" in note for note in read_votes(write(tmp_path / "v.csv", *lines)).notes)

    assert noted("10A-0B", "7A-3B")
    assert not noted("10A-0B", "0A-10B")
    assert not noted("1)10A-0B", "11)10A-0B")


def test_bad_cells_are_named(tmp_path: Path) -> None:
    """Every bad cell by its line, all at once; the text of a cell is not repeated."""
    bad = ["q1,x,C,B,1", "q2,x,A,,1", "q3,x,A,B,0", "q4,x,A,B,12", "q5,x,A,B,5A-6B", "q6,x,A,B,3)10A-0B",
           "q7,x,A,B,9-Jan", "q8,x,A", ",x,A,B,1", "q9,x,A,B,1", "q9,x,A,B,1", "unknown,x,A,B,1"]  # fmt: skip
    with pytest.raises(DataError) as error:
        read_votes(write(tmp_path / "v.csv", *bad), [f"q{i}" for i in range(10)])
    assert [row.line for row in error.value.rows] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13]
    causes = [row.cause.split(":")[0] for row in error.value.rows]
    assert causes == ["task1", "task2", *["task3"] * 5, "task2", "id", "annotator", "id"]
    assert "Jan" not in error.value.message


@pytest.mark.parametrize("head", ["id,task3", "annotator,task3", "id,annotator,task1", "id,task1_1", ""])
def test_columns(tmp_path: Path, head: str) -> None:
    """A file without the columns says which there should be."""
    with pytest.raises(TrainingError, match="expected the columns id, annotator"):
        read_votes(write(tmp_path / "v.csv", head=head))


def test_files(tmp_path: Path) -> None:
    """No file, no lines, not UTF-8, not CSV: each has its word; a byte-order mark is no part of the first column."""
    with pytest.raises(TrainingError, match="no such file"):
        read_votes(tmp_path / "none.csv")
    with pytest.raises(TrainingError, match="holds no annotations"):
        read_votes(write(tmp_path / "v.csv"))
    (tmp_path / "b.csv").write_bytes(HEAD.encode() + b"\nq,\xff,A,B,1\n")
    with pytest.raises(TrainingError, match="not UTF-8"):
        read_votes(tmp_path / "b.csv")
    with pytest.raises(TrainingError, match="not CSV"):
        read_votes(write(tmp_path / "l.csv", "q,x,A,B," + "1" * 200_000))
    (tmp_path / "m.csv").write_text("\ufeff" + HEAD + "\nq,x,A,B,1\n", encoding="utf-8")
    assert isinstance(read_votes(tmp_path / "m.csv"), Votes)
