"""python -m research.rlhf <step>: each step makes what it needs and keeps what is there.

steps: grpo and control (GRPO with the service's rewards, and with the same rewards shuffled), ppo, best-of-n, restart
(the service is killed under a running GRPO), page (docs/results/rlhf.md and its plots, from what has been run), all.
"""

import argparse
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from research.rlhf.environment import environment, run_worker
from research.rlhf.folder import WORK, Folder, write_json
from research.rlhf.page import write_page
from research.rlhf.prompts import load_prompts
from research.rlhf.restart import run_with_restarts
from research.rlhf.reward_model import MODEL, make_reward_model
from research.rlhf.service import Service, serving

STEPS = ("grpo", "control", "ppo", "best-of-n", "restart")
_LENGTHS = {"grpo": 90, "control": 90, "ppo": 45}
"""Updates: some minutes a run on a free core."""
_ANSWERS = 64
"""Samples a prompt for best of n."""


def main() -> None:
    """Run steps."""
    parser = argparse.ArgumentParser(
        prog="python -m research.rlhf", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="+", choices=[*STEPS, "page", "all"], metavar="step")
    parser.add_argument("--work", type=Path, default=WORK, help="environment, models and runs; kept, and used again")
    parser.add_argument("--output", type=Path, default=Path("docs/results"), help="where the page and plots go")
    parser.add_argument("--seeds", type=int, default=3, help="runs of grpo, control and ppo")
    parser.add_argument("--together", type=int, default=1, help="runs at the same time; each takes one core")
    parser.add_argument("--updates", type=int, help="of a run, instead of the study's own number")
    parser.add_argument("--held-out-every", type=int, default=15, help="updates between looks at the held-out prompts")
    options = parser.parse_args()
    folder = Folder(options.work)
    chosen = STEPS if "all" in options.steps else tuple(step for step in STEPS if step in options.steps)
    if chosen:
        _run(folder, chosen, options)
    if {"page", "all"} & set(options.steps):
        write_page(folder, options.output)


def _run(folder: Folder, chosen: tuple[str, ...], options: argparse.Namespace) -> None:
    python = environment(folder)
    make_reward_model(folder)
    make_start_policy(folder, python)
    todo = [(step, seed) for step in chosen for seed in range(_seeds(step, options.seeds))]
    with serving(folder) as service, tqdm(total=len(todo), desc="runs", unit="run") as bar:

        def one(step: str, seed: int) -> None:
            run = folder.run(step, seed)
            _once(run, _maker(folder, python, service, step, seed, run, options))
            bar.update()

        # The restart's service is killed: nothing else may use it meanwhile.
        with ThreadPoolExecutor(options.together) as pool:
            for each in [pool.submit(one, *pair) for pair in todo if pair[0] != "restart"]:
                each.result()
        if "restart" in chosen:
            one("restart", 0)


def _seeds(step: str, asked: int) -> int:
    """The other steps vary what they must themselves."""
    return asked if step in _LENGTHS else 1


def _once(run: Path, make: Callable[[], None]) -> None:
    """A finished run has the file that is written last; one that broke off is begun again."""
    last = "outcome.json" if run.name.startswith("restart") else "done.json"
    if not (run / last).exists():
        shutil.rmtree(run, ignore_errors=True)
        make()


def _maker(
    folder: Folder, python: Path, service: Service, step: str, seed: int, run: Path, options: argparse.Namespace
) -> Callable[[], None]:
    def make() -> None:
        common: tuple[object, ...] = ("--url", service.url, "--model", MODEL, "--policy", folder.policy)
        common = (*common, "--prompts", folder.prompts, "--output", run, "--seed", seed)
        if step == "restart":
            outcome = run_with_restarts(folder, python, service, run)
            write_json(run / "outcome.json", asdict(outcome))
        elif step == "best-of-n":
            run_worker(python, "best_of_n", *common, "--answers", _ANSWERS)
        else:
            updates = options.updates or _LENGTHS[step]
            flags = ("--shuffled",) if step == "control" else ()
            worker = "ppo" if step == "ppo" else "grpo"
            length = ("--steps", updates, "--held-out-every", options.held_out_every)
            run_worker(python, worker, *common, *length, *flags, log=run / "output.log")

    return make


def make_start_policy(folder: Folder, python: Path) -> None:
    """The policy before any reward: trained on answers of every quality, once."""
    load_prompts(folder)
    if not folder.policy.exists():
        try:
            run_worker(python, "start_policy", "--demonstrations", folder.demonstrations, "--output", folder.policy)
        except subprocess.CalledProcessError:
            shutil.rmtree(folder.policy, ignore_errors=True)
            raise


if __name__ == "__main__":
    main()
