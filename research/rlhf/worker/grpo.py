"""TRL's GRPO on the start policy, with the service's rewards over HTTP."""

import random
from pathlib import Path
from typing import Any

from datasets import Dataset
from plurality_client import Client
from trl import GRPOConfig, GRPOTrainer

from research.rlhf.worker.held_out import HeldOut
from research.rlhf.worker.language_model import MOST_NEW_TOKENS, load_policy, one_thread
from research.rlhf.worker.options import finish, parser, prompt_texts
from research.rlhf.worker.rewards import Watch, watched

GROUP = 8
"""Answers a prompt."""
PROMPTS_A_STEP = 8


def main() -> None:
    """Train, watch, write."""
    made = parser(__doc__)
    made.add_argument("--shuffled", action="store_true", help="control: the batch's rewards dealt by chance")
    made.add_argument("--kill-at", type=int, nargs="*", default=(), help="kill the service before these reward calls")
    made.add_argument("--service-id", type=Path, help="file with the id of the process to kill")
    made.add_argument("--timeout-s", type=float, default=300.0, help="how long one call waits for the service")
    options = made.parse_args()
    one_thread()
    options.output.mkdir(parents=True, exist_ok=True)
    policy, tokenizer = load_policy(options.policy)
    start, _ = load_policy(options.policy)
    watch = Watch(
        options.output / "rewards.jsonl",
        random.Random(options.seed) if options.shuffled else None,
        dict.fromkeys(options.kill_at, options.service_id),
    )
    trainer = GRPOTrainer(
        model=policy,
        reward_funcs=watched(options.url, watch, model=options.model, timeout_s=options.timeout_s),
        args=_config(options.output, options.steps, options.seed),
        train_dataset=Dataset.from_dict({"prompt": prompt_texts(options.prompts, "train")}),
        processing_class=tokenizer,
    )
    with Client(options.url, model=options.model, timeout_s=options.timeout_s) as client:
        held_out = prompt_texts(options.prompts, "held_out")
        trainer.add_callback(
            HeldOut(
                policy, start, tokenizer, prompts=held_out, every=options.held_out_every, client=client,
                path=options.output / "held_out.jsonl",
            )
        )  # fmt: skip
        trainer.train()
        finish(options.output, client, trainer.state.log_history)


def _config(output: Path, steps: int, seed: int) -> Any:
    return GRPOConfig(
        output_dir=str(output / "trainer"),
        seed=seed,
        use_cpu=True,
        bf16=False,
        max_steps=steps,
        per_device_train_batch_size=GROUP * PROMPTS_A_STEP,
        num_generations=GROUP,
        max_completion_length=MOST_NEW_TOKENS,
        temperature=1.0,
        top_k=0,
        learning_rate=2e-4,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=5,
        beta=0.02,
        loss_type="dr_grpo",
        scale_rewards="group",
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
    )


if __name__ == "__main__":
    main()
