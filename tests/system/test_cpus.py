"""int8 on a CPU without VNNI, emulated: the same rewards as here, and unbounded weights are found out."""

import json
import os
import platform
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from model_export.checkpoint import open_checkpoint
from model_export.pipeline import Target, export
from model_export.sample_texts import sample_items
from service.bundle.open import load_model, score_now
from service.bundle.store import version_directory
from service.domain import Reward
from tests.system.install import program
from tests.tiny import build_tiny_checkpoint

COUNT = 24
SCORE = f"""
import json, sys
from pathlib import Path
from model_export.sample_texts import sample_items
from service.errors import BundleRejected
from service.bundle.open import load_model, score_now
from service.engine.integer import check_integer_products, product_error, worst_weights
model = load_model(Path(sys.argv[1]), threads=1)
rewards = [outcome.value for outcome in score_now(model, sample_items({COUNT}))]
refused = None
try:
    check_integer_products(254)
except BundleRejected as error:
    refused = error.reason
print(json.dumps(dict(rewards=rewards, refused=refused, error=product_error(worst_weights(128)))))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates one x86 on another")
@pytest.mark.parametrize(("cpu", "refused"), [("EPYC-Milan", "arithmetic"), ("Nehalem", None)])
def test_an_int8_version_on_an_older_cpu(cpu: str, refused: str | None, tmp_path: Path) -> None:
    """AVX2 without VNNI saturates; SSE4 does not. Both give bounded weights the rewards that this CPU gives them."""
    checkpoint = open_checkpoint(str(build_tiny_checkpoint("bert", tmp_path / "model")))
    [_, published] = export(checkpoint, Target(tmp_path / "store", "m"), say=lambda _: None)
    directory = version_directory(tmp_path / "store", "m", published.digest)
    emulator = program("qemu-x86_64")
    assert emulator, "make test-system installs qemu-user"
    done = subprocess.run(
        [emulator, "-cpu", cpu, sys.executable, "-c", SCORE, directory],
        check=True, capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["refused"] == refused
    assert found["error"] == 0
    with closing((model := load_model(directory, threads=1)).backend):
        here = [outcome.value for outcome in score_now(model, sample_items(COUNT)) if isinstance(outcome, Reward)]
    # A rounding to 8 bits may fall to the other side where float kernels differ in their last digit.
    assert found["rewards"] == pytest.approx(here, abs=published.manifest.golden_tolerance)
