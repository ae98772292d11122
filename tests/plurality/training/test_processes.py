"""Several processes under `torchrun`, as a user starts them: the step of one process, each pair once, one voice."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.utils.data import BatchSampler

from model_export.checkpoint import TRAINING_RECORD
from plurality.training.errors import TrainingError
from plurality.training.more import LAMBDA
from plurality.training.sampling import EpochSampler, PaddedSampler
from plurality.training.train import train
from tests.e2e.process import ROOT
from tests.plurality.training.data import mixed, planted, same_bits, settings, write_jsonl
from tests.tiny import build_tiny_checkpoint

exact = hypothesis_settings(max_examples=80)


def quiet(_: str) -> None:
    """Says nothing."""


def torchrun(model: Path, data: Path, output: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """`plurality train` in two processes."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "plurality"]
    files = ["--model", str(model), "--data", str(data), "--output", str(output), "--seed", "3"]
    command = [*run, "train", *files, "--learning-rate", "1e-3", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done


class Ranks:
    """Two ranks without torchrun's own start, for what torchrun adds nothing to."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log

    def train(self, model: Path, data: Path, output: Path, *words: str) -> str:
        """`plurality train` in two processes; what both said."""
        files = ["--model", str(model), "--data", str(data), "--output", str(output), "--seed", "3"]
        command = {"words": ["train", *files, "--learning-rate", "1e-3", *words], "log": str(self._log)}
        self._log.write_text("")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        codes = json.loads(self._process.stdout.readline())
        said = self._log.read_text()
        assert codes == [0, 0], said
        return said


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    command = [sys.executable, "-m", "tests.plurality.training.ranks"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield Ranks(process, tmp_path_factory.mktemp("ranks") / "log")


def assert_same_weights(first: Path, second: Path) -> None:
    left, right = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(right[name], left[name], atol=2e-6, rtol=0)


def logged(output: Path, key: str) -> list[float]:
    newest = max((output / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    history: list[dict[str, Any]] = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    return [entry[key] for entry in history if key in entry]


@exact
@given(st.integers(1, 70), st.integers(1, 5), st.integers(2, 4), st.integers(1, 3))
def test_every_pair_counts_once(pairs: int, batch: int, processes: int, accumulation: int) -> None:
    """Through accelerate's own sharding: each process gets as many full batches, and each pair counts in one of them.

    And the steps are those of one process with as many pairs a step: the same pairs in each.
    """
    step = batch * processes * accumulation
    lengths = [1 + 7 * i % 11 for i in range(pairs)]

    def order() -> EpochSampler:
        return EpochSampler(step, lengths=lengths, seed=5)

    def part(process: int) -> list[list[int]]:
        padded = PaddedSampler(order(), batch * processes, pairs=pairs)
        padded.set_epoch(2)
        return list(BatchSamplerShard(BatchSampler(padded, batch, False), processes, process))

    parts = [part(process) for process in range(processes)]
    assert len({len(batches) for batches in parts}) == 1
    assert {len(indices) for batches in parts for indices in batches} == {batch}
    counted = [index for batches in parts for indices in batches for index in indices if index < pairs]
    assert Counter(counted) == dict.fromkeys(range(pairs), 1)
    alone = order()
    alone.set_epoch(2)
    whole = list(alone)
    for number in range(-(-pairs // step)):
        own = slice(number * accumulation, (number + 1) * accumulation)
        together = {i for batches in parts for indices in batches[own] for i in indices if i < pairs}
        assert together == set(whole[number * step : (number + 1) * step])


@pytest.mark.e2e
def test_two_processes_are_one(tmp_path: Path) -> None:
    """37 pairs, 8 a step, the last step short and uneven: losses, weights and validation of one process's run.

    A decoder, which has no dropout to differ by. One process speaks and writes.
    """
    model = build_tiny_checkpoint("llama", tmp_path / "llama")
    data, held_out = write_jsonl(tmp_path / "p.jsonl", planted(37)), write_jsonl(tmp_path / "v.jsonl", mixed(37))
    words = ["--batch-size", "2", "--gradient-accumulation", "2", "--validation", str(held_out), "--save-steps", "1"]
    done = torchrun(model, data, tmp_path / "two", *words)
    config = settings(model, data, tmp_path / "one", batch_size=8, validation=held_out, save_steps=1)
    one = train(config, say=quiet)
    assert one.steps == 5
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    record = [json.loads((tmp_path / name / TRAINING_RECORD).read_text())["training"] for name in ("one", "two")]
    figures = [{key: value for key, value in entry.items() if "validation" in key} for entry in record]
    assert len(figures[0]) == 15
    assert figures[1] == pytest.approx(figures[0], abs=1e-5)
    assert logged(tmp_path / "two", "eval_loss") == pytest.approx(logged(tmp_path / "one", "eval_loss"), abs=1e-5)
    assert done.stdout.count("37 pairs from p.jsonl") == done.stdout.count("trained 5 steps") == 1
    names = [{path.name for path in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert names[0] == names[1]


@pytest.mark.e2e
def test_first_step(tmp_path: Path, ranks: Ranks) -> None:
    """A single step, of 5 pairs over two processes in batches of 4: one process then has one pair and padding."""
    model = build_tiny_checkpoint("llama", tmp_path / "llama")
    data = write_jsonl(tmp_path / "p.jsonl", planted(5))
    ranks.train(model, data, tmp_path / "two", "--batch-size", "4", "--warmup-ratio", "0")
    one = train(settings(model, data, tmp_path / "one", batch_size=8, warmup_ratio=0), say=quiet)
    assert one.steps == 1
    assert not same_bits(model, tmp_path / "one")
    assert_same_weights(tmp_path / "one", tmp_path / "two")


@pytest.mark.e2e
def test_more_over_two_processes(tmp_path: Path, ranks: Ranks) -> None:
    """λ is found over the pairs of both processes: that of one process's run, step by step."""
    model = build_tiny_checkpoint("llama", tmp_path / "llama")
    data = write_jsonl(tmp_path / "m.jsonl", mixed(48))
    words = ["--more", "--objective", "soft", "--batch-size", "2", "--gradient-accumulation", "2"]
    ranks.train(model, data, tmp_path / "two", *words)
    train(settings(model, data, tmp_path / "one", more=True, objective="soft"), say=quiet)
    one, two = (logged(tmp_path / name, LAMBDA + "small") for name in ("one", "two"))
    assert len(set(one)) == 6
    assert two == pytest.approx(one, abs=1e-4)
    assert_same_weights(tmp_path / "one", tmp_path / "two")


@pytest.mark.e2e
def test_two_processes_resume(tmp_path: Path, ranks: Ranks) -> None:
    """Dropout and adapters in each process, cut off in the second epoch: the very bits of the run that was not."""
    model = build_tiny_checkpoint("bert", tmp_path / "bert")
    data = write_jsonl(tmp_path / "p.jsonl", planted(37))
    words = ["--batch-size", "4", "--epochs", "2", "--save-steps", "3", "--lora-rank", "4", "--lora-dropout", "0.2"]
    ranks.train(model, data, tmp_path / "whole", *words)
    cut = shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for path in (cut / TRAINING_RECORD, cut / "model.safetensors"):
        path.unlink()
    shutil.rmtree(cut / "checkpoints" / "checkpoint-10")
    assert {path.name for path in (cut / "checkpoints").iterdir()} == {"checkpoint-9"}
    changes = {"batch_size": 4, "epochs": 2, "save_steps": 3, "lora_rank": 4, "lora_dropout": 0.2}
    with pytest.raises(TrainingError, match="had another processes;"):
        train(settings(model, data, cut, resume=True, **changes), say=quiet)
    said = ranks.train(model, data, cut, *words, "--resume")
    assert said.count("trained 10 steps") == 1
    assert same_bits(tmp_path / "whole", cut)
