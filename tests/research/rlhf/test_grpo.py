"""GRPO goes on over a killed service and invents nothing. Part of `make test-long`: STUDY_RLHF_WORK names the folder
where the study's environment and models are.
"""

import os
from pathlib import Path

import pytest

from research.rlhf.environment import built
from research.rlhf.folder import WORK, Folder
from research.rlhf.restart import KILL_AT, STEPS, TOLERANCE, run_with_restarts
from research.rlhf.reward_model import MODEL
from research.rlhf.service import serving

ASKED = "STUDY_RLHF_WORK" in os.environ
FOLDER = Folder(Path(os.environ.get("STUDY_RLHF_WORK", WORK)))
PYTHON = built(FOLDER)
READY = PYTHON is not None and FOLDER.policy.exists() and (FOLDER.store / MODEL / "pointer.json").exists()


@pytest.mark.e2e
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not ASKED, reason="minutes long: make test-long runs it")
@pytest.mark.skipif(not READY, reason=f"no models in {FOLDER.root}: `python -m research.rlhf restart` makes them")
def test_killing_the_service_under_grpo_invents_no_reward(tmp_path: Path) -> None:
    assert PYTHON is not None
    with serving(FOLDER) as service:
        outcome = run_with_restarts(FOLDER, PYTHON, service, tmp_path)
    assert (outcome.steps, outcome.kills) == (STEPS, len(KILL_AT))
    assert outcome.rewards > 0
    assert outcome.wrong == 0
    assert outcome.largest_difference <= TOLERANCE
    assert len(set(outcome.versions)) == 1
