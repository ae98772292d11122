"""TRL's PPO on the start policy, with the service's rewards over HTTP.

TRL's PPO takes no reward function: it calls a model on token ids. `ServiceReward` is a module of that shape which turns
the ids into texts and asks the service, so the trainer itself is used as it is.
"""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset
from plurality_client import Client
from torch import nn
from transformers import AutoModelForSequenceClassification
from trl.experimental.ppo import PPOConfig, PPOTrainer

from research.rlhf.worker.held_out import HeldOut
from research.rlhf.worker.language_model import ANSWER, MOST_NEW_TOKENS, load_policy, one_thread
from research.rlhf.worker.options import finish, parser, prompt_texts

BATCH = 64


class ServiceReward(nn.Module):
    """What TRL calls `reward_model`: `backbone` answers with hidden states, `score` makes rewards of them.

    A reward stands at every place of its text, so it does not matter which place TRL reads. PPO has no word for a
    missing reward: `client` must raise.
    """

    base_model_prefix = "backbone"

    def __init__(self, client: Client, tokenizer: Any) -> None:
        super().__init__()
        self._client, self._tokenizer = client, tokenizer
        self._answer = tokenizer.convert_tokens_to_ids(ANSWER)
        self.score = nn.Identity()

    def backbone(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> SimpleNamespace:
        """Rewards of B texts, shape [B, T, 1]."""
        items = [self._item(ids[mask.bool()].tolist()) for ids, mask in zip(input_ids, attention_mask, strict=True)]
        rewards_B = torch.tensor(self._client.score(items).rewards, dtype=torch.float32, device=input_ids.device)
        return SimpleNamespace(hidden_states=[rewards_B[:, None, None].expand(*input_ids.shape, 1)])

    def _item(self, ids: list[int]) -> tuple[str, str]:
        at = ids.index(self._answer)
        prompt, answer = (self._tokenizer.decode(part, skip_special_tokens=True) for part in (ids[:at], ids[at + 1 :]))
        return prompt.strip(), answer.strip()


def main() -> None:
    """Train, watch, write."""
    options = parser(__doc__).parse_args()
    one_thread()
    options.output.mkdir(parents=True, exist_ok=True)
    policy, tokenizer = load_policy(options.policy)
    start, _ = load_policy(options.policy)
    value = AutoModelForSequenceClassification.from_pretrained(options.policy, num_labels=1)
    prompts = prompt_texts(options.prompts, "train")
    with Client(options.url, model=options.model, on_failure="raise") as client:
        trainer = PPOTrainer(
            args=_config(options.output, options.steps, options.seed),
            processing_class=tokenizer,
            model=policy,
            ref_model=copy.deepcopy(start),
            reward_model=ServiceReward(client, tokenizer),
            value_model=value,
            train_dataset=Dataset.from_dict({"input_ids": tokenizer(prompts)["input_ids"]}),
        )
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
    return PPOConfig(
        output_dir=str(output / "trainer"),
        seed=seed,
        use_cpu=True,
        bf16=False,
        total_episodes=steps * BATCH,
        per_device_train_batch_size=BATCH,
        local_rollout_forward_batch_size=BATCH,
        num_mini_batches=1,
        num_ppo_epochs=2,
        response_length=MOST_NEW_TOKENS,
        stop_token="eos",  # noqa: S106 - TRL's word for the tokenizer's end
        temperature=1.0,
        learning_rate=2e-4,
        lr_scheduler_type="constant",
        kl_coef=0.02,
        vf_coef=0.1,
        missing_eos_penalty=None,
        gradient_checkpointing=False,
        num_sample_generations=0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
    )


if __name__ == "__main__":
    main()
