"""`plurality evaluate` as a user types it, on tiny published models."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plurality.stats import pearson
from service.domain import Prompt
from tests.e2e.process import verb
from tests.plurality.training.data import write_jsonl
from tests.tiny import labeled_pairs, publish_tiny

pytestmark = pytest.mark.e2e

SOURCES = ("webgpt", "hh", "prism")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two models: one calibrated, one not."""
    folder = tmp_path_factory.mktemp("evaluate") / "store"
    publish_tiny(folder, "one")
    publish_tiny(folder, "two", seed=1, calibrated=False)
    return folder


def text(prompt: Prompt) -> str:
    assert isinstance(prompt, str)
    return prompt


def pairs(store: Path, count: int = 36) -> list[dict[str, Any]]:
    """Rows of which the first model knows p* up to a temperature: `labeled_pairs` says σ(Δ / 2)."""
    found = labeled_pairs(store.parent / "checkpoint-one-0", count, seed=5)
    return [
        {
            "id": f"q{i}", "source": SOURCES[i % 3], "prompt": text(pair.context), "response_a": pair.response_a,
            "response_b": pair.response_b, "label": float(pair.label > 0.5), "true_preference": pair.label,
        }
        for i, pair in enumerate(found)
    ]  # fmt: skip


def annotate(rows: list[dict[str, Any]], path: Path) -> Path:
    """Three annotators who each give the option nearest to p*, on the form as printed: option 11 reads 10A-0B."""
    rng = random.Random(0)  # noqa: S311 - not a secret
    lines = ["id,annotator,task1,task2,task3"]
    for i, row in enumerate(rows):
        option = 11 - round(10 * row["true_preference"])
        printed = "10A-0B" if option == 11 else f"{11 - option}A-{option - 1}B"
        for who in "xyz":
            task1 = "A" if (i % 3 == 0) != (rng.random() < 0.1) else "B"
            lines.append(f"{row['id']},{who},{task1},{'B' if i % 4 else 'A'},{option}){printed}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_two_models_with_votes(store: Path, tmp_path: Path) -> None:
    """The paper's tables on a file with its columns; the model that knows p* wins; report and JSON say the same."""
    rows = pairs(store)
    data, votes = write_jsonl(tmp_path / "pairs.jsonl", rows), annotate(rows, tmp_path / "votes.csv")
    report = tmp_path / "report"
    done = verb(
        "evaluate", "one", "two@stable", "--store", str(store), "--data", str(data), "--votes", str(votes),
        "--id-sources", "webgpt,hh", "--report", str(report), "--bootstrap", "40", "--seed", "3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for line in ("Table 1", "Table 2", "webgpt (12)*", "All ID (24)*", "prism (12)*", "All OOD (12)*", "All (36)",
                 "Multiple Correct (", "Single Correct, ID (", "Indistinguishable (9)*", "noise floor", "even odds",
                 "36 pairs by 3 annotators", "is not calibrated", "paired bootstrap over prompts"):  # fmt: skip
        assert line in done.stdout, line
    found = json.loads((report / "results.json").read_text())
    one, two = (next(s for s in m["slices"] if s["name"] == "All") for m in found["models"])
    known = np.array([row["true_preference"] for row in rows])
    options = np.array([round(10 * share) / 10 for share in known])
    assert one["people"]["pearson"]["value"] == pytest.approx(pearson(known, options), abs=0.01)
    assert one["people"]["l1"]["value"] == pytest.approx(np.mean(np.abs(known - options)), abs=0.005)
    assert one["people"]["l1"]["value"] < two["people"]["l1"]["value"]
    assert f"{one['people']['l1']['value']:.3f} [" in done.stdout
    assert found["settings"] | {"bootstrap": 40, "seed": 3} == found["settings"]
    assert found["models"][0]["version"]["temperature"] == pytest.approx(2.0, abs=0.01)
    assert (report / "report.html").stat().st_size > 10_000
    assert str(tmp_path) not in (report / "report.html").read_text() + json.dumps(found)
    assert found["models"][0]["name"].split("@")[0] == "one"


def test_labels_alone(store: Path, tmp_path: Path) -> None:
    """Any file of labels: accuracy by subset, and a word on the tables that need people."""
    rows = [
        {key: value for key, value in row.items() if key != "true_preference"} | {"category": f"subset-{i % 2}"}
        for i, row in enumerate(pairs(store, 10))
    ]
    data = write_jsonl(tmp_path / "bench.jsonl", rows)
    done = verb("evaluate", "one", "--store", str(store), "--data", str(data), "--bootstrap", "10")
    assert done.returncode == 0, done.stderr
    assert "subset-0 (5)*" in done.stdout
    assert "no pair has a p*" in done.stdout
    assert "Pearson correlation of" not in done.stdout
    assert not (tmp_path / "report").exists()


def test_refusals(store: Path, tmp_path: Path) -> None:
    """Each with its exit code and cause: no store, no model, no version, the same twice, bad rows, bad votes."""
    rows = pairs(store, 4)
    data = write_jsonl(tmp_path / "pairs.jsonl", rows)
    (tmp_path / "bad.jsonl").write_text("{}\n")
    (tmp_path / "votes.csv").write_text("id,annotator,task3\nq0,x,12\nnobody,x,1\n")

    def ask(*models: str, where: Path = store, rows: Path = data, more: tuple[str, ...] = ()) -> tuple[int, str]:
        done = verb("evaluate", *models, "--store", str(where), "--data", str(rows), "--bootstrap", "5", *more)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    code, said = ask("one", where=tmp_path / "none")
    assert (code, "cannot read the store" in said) == (2, True)
    code, said = ask("three")
    assert (code, "no model 'three'; it has one, two" in said) == (2, True)
    code, said = ask("../store/one")
    assert (code, "no model '../store/one'" in said) == (2, True)
    code, said = ask("one@ffff")
    assert (code, "names 0 versions" in said) == (2, True)
    code, said = ask("one", "one@stable")
    assert (code, "the same version as one" in said) == (2, True)
    code, said = ask("one", rows=tmp_path / "bad.jsonl")
    assert (code, "line 1:" in said) == (3, True)
    code, said = ask("one", more=("--votes", str(tmp_path / "votes.csv")))
    assert code == 3
    assert "line 2: task3: the options are 1 to 11" in said
    assert "line 3: id: no pair of the data has it" in said


def test_help_teaches() -> None:
    """--help shows a row, the form's columns and one example."""
    done = verb("evaluate", "--help")
    assert done.returncode == 0
    shown = " ".join(done.stdout.split())
    for word in ('"response_a"', '"label": 1', "task3", "0A-10B", "plurality evaluate demo-baseline demo-margin"):
        assert word in shown


def test_calibrated_on_the_same_pairs(store: Path, tmp_path: Path) -> None:
    """Evaluating on the pairs that calibrated a version is said to flatter it."""
    rows = [
        {"prompt": text(p.context), "response_a": p.response_a, "response_b": p.response_b, "label": p.label}
        for p in labeled_pairs(store.parent / "checkpoint-one-0", 60)
    ]
    data = write_jsonl(tmp_path / "held-out.jsonl", rows)
    done = verb("evaluate", "one", "--store", str(store), "--data", str(data), "--bootstrap", "5")
    assert "was calibrated on these very pairs" in done.stdout, done.stderr
