"""From records to files: every pair accounted for, official tests kept apart, and what the files can be used for."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plurality.core.rows import PreferenceRow
from plurality.training.errors import DataError, TrainingError
from plurality.training.load import file_digest, load_rows
from plurality.training.loaders.prepare import CARD, DETAILS, EXCLUDED, IN_TEST, NEAR_TEST, TIE, Plan, prepare, relabel
from plurality.training.loaders.registry import SETS, DataSet, find
from plurality.training.loaders.sources import Origin
from tests.plurality.training.data import row, write_jsonl

PARTS = ("train", "validation", "test")


def dialogue(question: str, answer: str) -> str:
    return f"\n\nHuman: {question}\n\nAssistant: {answer}"


def hh(questions: list[str], *, answer: str = "yes") -> list[dict[str, str]]:
    return [{"chosen": dialogue(q, f"{answer} {q}"), "rejected": dialogue(q, f"no {q}")} for q in questions]


QUESTIONS = [f"question {i}" for i in range(80)]


def plan(
    tmp_path: Path, records: list[Any], *, name: str = "hh-rlhf", test: list[Any] | None = None, **changes: Any
) -> Plan:
    """A preparation from files of these records."""
    origin = Origin(
        files=(write_jsonl(tmp_path / "records.jsonl", records),),
        test_files=(write_jsonl(tmp_path / "test-records.jsonl", test),) if test else (),
    )
    settings: dict[str, Any] = {"origin": origin, "shares": (0.6, 0.2, 0.2)} | changes
    return Plan(dataset=find(name), output=tmp_path / "out", **settings)


def written(tmp_path: Path) -> dict[str, list[PreferenceRow]]:
    paths = {part: tmp_path / "out" / f"{part}.jsonl" for part in PARTS}
    return {part: load_rows(path) for part, path in paths.items() if path.is_file()}


def accounted(card: dict[str, Any]) -> bool:
    pairs = card["pairs"]
    return bool(pairs["read"] == pairs["written"] + pairs["merged"] + sum(pairs["dropped"].values()))


def test_every_pair_is_accounted_for(tmp_path: Path) -> None:
    """Read = written + merged + dropped; the files load, and their digests are the card's."""
    records = [*hh(QUESTIONS), *hh(QUESTIONS[:5]), {"chosen": "no dialogue", "rejected": "x"}]
    card = prepare(plan(tmp_path, records))
    assert json.loads((tmp_path / "out" / CARD).read_bytes()) == card
    assert accounted(card)
    assert (card["pairs"]["read"], card["pairs"]["merged"], card["records"]) == (86, 5, 86)
    parts = written(tmp_path)
    assert sum(map(len, parts.values())) == card["pairs"]["written"] == 80
    for part, rows in parts.items():
        assert card["parts"][part]["rows"] == len(rows)
        assert card["parts"][part]["sha256"] == file_digest(tmp_path / "out" / f"{part}.jsonl")
    assert card["source"]["files"] == [{"file": "records.jsonl", "sha256": file_digest(tmp_path / "records.jsonl")}]
    assert card["license"] == "MIT"


def test_no_prompt_on_two_sides(tmp_path: Path) -> None:
    """Train, validation and test share no prompt."""
    prepare(plan(tmp_path, hh(QUESTIONS)))
    keys = [{entry.prompt_key for entry in rows} for rows in written(tmp_path).values()]
    assert len(keys) == 3
    assert sum(map(len, keys)) == len(set.union(*keys)) == 80


def test_same_run_same_bytes(tmp_path: Path) -> None:
    """Shuffled records and another run make the same parts; another seed makes others."""
    digests = []
    for i, (records, seed) in enumerate([(hh(QUESTIONS), 0), (hh(QUESTIONS), 0), (hh(QUESTIONS), 1)]):
        folder = tmp_path / str(i)
        folder.mkdir()
        card = prepare(plan(folder, records, seed=seed))
        digests.append([card["parts"][part]["sha256"] for part in PARTS])
    assert digests[0] == digests[1] != digests[2]


def test_official_test_is_kept_and_leaves_train(tmp_path: Path) -> None:
    """Test pairs never come from train: the official test is test, whole, and its prompts are dropped from train."""
    test = hh(["question 1", "Question  2", "elsewhere"], answer="perhaps")
    deeper = "\n\nHuman: elsewhere\n\nAssistant: a\n\nHuman: and?\n\nAssistant: "
    records = [*hh(QUESTIONS), {"chosen": deeper + "b", "rejected": deeper + "c"}]
    card = prepare(plan(tmp_path, records, test=test))
    parts = written(tmp_path)
    assert len(parts["test"]) == 3
    assert card["pairs"]["dropped"] == {IN_TEST: 2, NEAR_TEST: 1}
    assert len(parts["train"]) + len(parts["validation"]) == 78
    assert card["split"]["shares"] == pytest.approx((0.75, 0.25, 0.0))
    assert accounted(card)
    assert not {entry.id for entry in parts["test"]} & {entry.id for entry in parts["train"]}


def test_excluded_prompts(tmp_path: Path) -> None:
    """Prompts of an evaluation's file are dropped, wherever they are."""
    evaluation = write_jsonl(tmp_path / "evaluation.jsonl", [row(id="e", prompt="QUESTION 3").model_dump(mode="json")])
    card = prepare(plan(tmp_path, hh(QUESTIONS), exclude=(evaluation,)))
    assert card["pairs"]["dropped"] == {EXCLUDED: 1}
    assert card["split"]["excluded"] == ["evaluation.jsonl"]
    assert accounted(card)


def graded(scores: list[float]) -> list[dict[str, Any]]:
    return [
        {"question": f"q{i}", "answer_0": "x", "answer_1": "y", "score_0": score, "score_1": -score}
        for i, score in enumerate(scores)
    ]


def test_ties(tmp_path: Path) -> None:
    """Ties stay, or go with their count."""
    records = graded([0.0, 1.0, -1.0] * 20)
    (tmp_path / "other").mkdir()
    kept = prepare(plan(tmp_path, records, name="webgpt"))
    dropped = prepare(plan(tmp_path / "other", records, name="webgpt", ties="drop"))
    assert sum(part["ties"] for part in kept["parts"].values()) == 20
    assert dropped["pairs"]["dropped"] == {TIE: 20}
    assert accounted(dropped)


def test_details_follow_their_rows(tmp_path: Path) -> None:
    """What a set knows beyond the row is beside it, for the rows that were written."""
    prepare(plan(tmp_path, graded([0.5, -0.25] * 20), name="webgpt"))
    details = {entry["id"]: entry for entry in map(json.loads, (tmp_path / "out" / DETAILS).read_text().splitlines())}
    ids = {entry.id for rows in written(tmp_path).values() for entry in rows}
    assert set(details) == ids
    assert {entry["strength"] for entry in details.values()} == {0.5, 0.25}


def test_groups_are_beside_the_rows(tmp_path: Path) -> None:
    """What stays together has one digest in the details, to cluster by; never its text."""
    deeper = "\n\nHuman: question 1\n\nAssistant: a\n\nHuman: and?\n\nAssistant: "
    prepare(plan(tmp_path, [*hh(QUESTIONS), {"chosen": deeper + "b", "rejected": deeper + "c"}]))
    details = [json.loads(line) for line in (tmp_path / "out" / DETAILS).read_text().splitlines()]
    assert (len(details), len({entry["group"] for entry in details})) == (81, 80)
    assert "question" not in str(details)


@pytest.mark.parametrize(
    ("policy", "expected"), [("as-given", [0.75, 0.5, 0.0, 0.6]), ("majority", [1.0, 0.5, 0.0, 1.0])]
)
def test_label_of_votes(policy: Any, expected: list[float]) -> None:
    """The label as given, or the majority's; an even vote stays a tie."""
    rows = [
        row(id="1", label=0.75, votes={"a": 3, "b": 1}), row(id="2", label=0.5, votes={"a": 2, "b": 2}),
        row(id="3", label=0.0), row(id="4", label=0.6),
    ]  # fmt: skip
    assert [relabel(entry, policy, 0).label for entry in rows] == expected


def test_label_of_one_person() -> None:
    """One drawn judgement: 0 or 1, as often as the decided votes say, the same for the same seed; votes stay."""
    rows = [row(id=str(i), label=0.7, votes={"a": 2, "b": 1, "tie": 2}) for i in range(600)]
    drawn = [relabel(entry, "one", 0) for entry in rows]
    assert {entry.label for entry in drawn} == {0.0, 1.0}
    assert 0.6 < sum(entry.label for entry in drawn) / 600 < 0.73
    assert [relabel(entry, "one", 0) for entry in rows] == drawn != [relabel(entry, "one", 1) for entry in rows]
    assert all(entry.votes == rows[0].votes for entry in drawn)


def test_output_is_never_overwritten(tmp_path: Path) -> None:
    """A prepared set stays as it is, and so does a file of that name that is someone's own."""
    prepare(plan(tmp_path, hh(QUESTIONS)))
    with pytest.raises(TrainingError, match=r"already holds train\.jsonl, .*card\.json; choose another"):
        prepare(plan(tmp_path, hh(QUESTIONS)))
    own = tmp_path / "own"
    own.mkdir()
    (own / "test.jsonl").write_text("mine")
    with pytest.raises(TrainingError, match=r"already holds test\.jsonl"):
        prepare(replace(plan(tmp_path, hh(QUESTIONS)), output=own))
    assert (own / "test.jsonl").read_text() == "mine"


def test_nothing_left(tmp_path: Path) -> None:
    """A set of which nothing is left says why, and writes nothing."""
    with pytest.raises(TrainingError, match="no pair of trl is left: 1 plain texts without a prompt"):
        prepare(plan(tmp_path, [{"chosen": "The sky is blue.", "rejected": "The sky is green."}], name="trl"))
    assert not (tmp_path / "out").exists()


def test_wrong_set(tmp_path: Path) -> None:
    """Records of another set are named, all of them."""
    with pytest.raises(DataError, match="no field chosen; it has question"):
        prepare(plan(tmp_path, graded([1.0])))


def test_official_test_needs_a_share_besides(tmp_path: Path) -> None:
    """Shares that leave nothing but test make no sense beside an official test."""
    with pytest.raises(TrainingError, match="train or validation needs a share"):
        prepare(plan(tmp_path, hh(QUESTIONS), test=hh(["x"]), shares=(0.0, 0.0, 1.0)))


def bare(dataset: DataSet, tmp_path: Path, origin: Origin) -> Plan:
    return Plan(dataset=dataset, output=tmp_path / "out", origin=origin)


@pytest.mark.parametrize(
    ("name", "origin", "message"),
    [
        ("trl", Origin(), "needs --from FILE"),
        ("hh-rlhf", Origin(test_files=(Path("t.jsonl"),)), "--test-from needs --from"),
        ("hh-rlhf", Origin(files=(Path("missing.jsonl"),)), "no such file"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, name: str, origin: Origin, message: str) -> None:
    """Each error names its cause and its cure."""
    with pytest.raises(TrainingError, match=message):
        prepare(bare(SETS[name], tmp_path, origin))


def test_hub_sets_fetch_train_and_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the hub, the official test split is fetched as test, and other splits can be named."""
    import datasets

    asked = []

    def answer(path: str, *, split: str, **options: Any) -> list[dict[str, str]]:
        asked.append((path, split))
        return hh(QUESTIONS) if split.startswith("train") else hh(["only in test"])

    monkeypatch.setattr(datasets, "load_dataset", answer)
    card = prepare(Plan(dataset=find("hh-rlhf"), output=tmp_path / "hh"))
    assert card["source"] == {"hub": "Anthropic/hh-rlhf", "split": "train", "test_split": "test"}
    assert card["parts"]["test"]["rows"] == 1
    chosen = Origin(hub_train="train_prefs", hub_test="test_prefs")
    prepare(Plan(dataset=find("org/any"), output=tmp_path / "any", origin=chosen))
    assert asked == [
        ("Anthropic/hh-rlhf", "train"), ("Anthropic/hh-rlhf", "test"),
        ("org/any", "train_prefs"), ("org/any", "test_prefs"),
    ]  # fmt: skip


def test_unknown_names() -> None:
    """An unknown name lists the known ones; ORG/NAME is a set of the hub."""
    with pytest.raises(TrainingError, match=r"no set is called 'nope'; known: .*webgpt"):
        find("nope")
    with pytest.raises(TrainingError, match="is a file: name its set"):
        find("data/pairs.jsonl.gz")
    assert find("org/name").needs == "hub org/name, or --from FILE"
