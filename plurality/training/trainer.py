"""transformers.Trainer with the pairwise loss. Everything else (resume, devices, logging) is the library's."""

import os
from pathlib import Path
from typing import Any

import torch
from transformers import ProgressCallback, Trainer, TrainingArguments

from plurality.training.config import TrainConfig
from plurality.training.dataset import Collator, PairDataset
from plurality.training.errors import TrainingError
from plurality.training.head import HeadInputs, find_head, keep_fp32
from plurality.training.lora import plain
from plurality.training.more import LOG_PREFIX, More
from plurality.training.objectives import PairTargets, batch_losses
from plurality.training.reporters import reporters
from plurality.training.sampling import BalancedSampler, EpochSampler, PaddedSampler
from plurality.training.validation import validation_metrics

CHECKPOINTS = "checkpoints"
REPORTS = "reports"
"""Where TensorBoard's event files go, in the output."""


class PairTrainer(Trainer):  # type: ignore[misc]
    """Trains a sequence classifier with one label on pairs.

    The loss of an optimizer step is the mean over all its pairs, however they are spread over micro-batches and
    processes; with MORE Σ λ_k L_k, each L_k a mean over all the step's pairs of source k. λ then needs the whole step's
    head inputs first: where a step has several micro-batches, they are run forward once more without gradients, on the
    same dropout (about a third more work); where it has one, its own forward pass is enough and MORE costs nothing.
    """

    def __init__(self, *, sampler: Any, centering: float = 0.0, more: More | None = None, **named: Any) -> None:
        super().__init__(**named)
        # Otherwise the library thinks that our loss is a sum over tokens, and leaves out the mean over micro-batches.
        self.model_accepts_loss_kwargs = False
        self.sampler, self.centering, self.more = sampler, centering, more
        self._micro_batches: list[dict[str, Any]] = []
        self._pairs = 0
        if more:
            self.remove_callback(ProgressCallback)
            self.add_callback(_Progress)

    def get_batch_samples(self, *arguments: Any) -> Any:
        """All micro-batches of the next optimizer step."""
        self._micro_batches, items = super().get_batch_samples(*arguments)
        own = sum(int(PairTargets.of(batch["labels"]).counted.sum()) for batch in self._micro_batches)
        self._pairs = int(self._total(torch.tensor(own)))
        if self.more:
            self.more.begin()
        return self._micro_batches, items

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any) -> torch.Tensor:
        # Not sooner: a resumed run sets its random numbers between the reading of a step's batches and here.
        if self.more and not self.more.solved and len(self._micro_batches) > 1:
            model.train()
            with torch.random.fork_rng(), self.compute_loss_context_manager():
                alone = self.accelerator.unwrap_model(
                    model
                )  # processes wait for a backward pass after each forward one
                for batch in self._micro_batches:
                    self._observe(self.more, alone, self._prepare_inputs(dict(batch)), detach=True)
            self.more.solve(self._total)
        own: torch.Tensor = super().training_step(model, inputs, *rest)
        loss: torch.Tensor = self._total(own).to(own.device) / self.args.world_size
        return loss

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        if self.more and model.training and not self.more.solved:
            logit_2B1, targets = self._observe(self.more, model, inputs, detach=False)
            self.more.solve(self._total)
        else:
            targets = PairTargets.of(inputs.pop("labels"))
            logit_2B1 = model(**inputs).logits
        reward_2B = logit_2B1.squeeze(-1).float()
        loss_B = batch_losses(reward_2B, targets, centering=self.centering)
        loss = self._of_step(loss_B, targets) if model.training else loss_B.mean()
        return (loss, {"rewards": torch.stack(reward_2B.chunk(2), dim=1)}) if return_outputs else loss

    @staticmethod
    def _observe(more: More, model: Any, inputs: dict[str, Any], *, detach: bool) -> tuple[torch.Tensor, PairTargets]:
        targets = PairTargets.of(inputs.pop("labels"))
        with HeadInputs(more.head, detach=detach) as head_inputs:
            logit_2B1 = model(**inputs).logits
            more.observe(head_inputs, logit_2B1, targets)
        return logit_2B1, targets

    def _of_step(self, loss_B: torch.Tensor, targets: PairTargets) -> torch.Tensor:
        """This micro-batch's part of the step's loss, times the numbers by which the library divides.

        It divides by the number of micro-batches, and the gradients' mean over processes divides by theirs.
        """
        divided: int = len(self._micro_batches) * self.args.world_size
        if self.more:
            return divided * (self.more.share(targets.source_B) * loss_B).sum()
        return (targets.counted * loss_B).sum() * (divided / self._pairs)

    def _total(self, own: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        if self.args.world_size == 1:
            return own
        total: torch.Tensor = self.accelerator.reduce(own.to(self.args.device), "sum")
        return total.cpu()

    def _maybe_log_save_evaluate(self, *arguments: Any, **named: Any) -> None:
        """λ of every step, before the checkpoint that would hold it; the library's own log is not due for that."""
        if self.more and self.more.entry:
            due = self.control.should_log
            self.log(self.more.entry)
            self.control.should_log = due
            self.more.entry = {}
        super()._maybe_log_save_evaluate(*arguments, **named)

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Any, Any, Any]:
        labels_B5 = inputs["labels"]
        with torch.no_grad(), self.compute_loss_context_manager():
            _, outputs = self.compute_loss(model, self._prepare_inputs(dict(inputs)), return_outputs=True)
        return None, outputs["rewards"], labels_B5  # the loss is `validation_metrics`', over all pairs alike

    def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
        """Evaluate without using training's random numbers: a resumed run does not repeat the evaluation."""
        with torch.random.fork_rng(devices=[]):
            metrics: dict[str, float] = super().evaluate(*arguments, **named)
        return metrics

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.sampler


class _Progress(ProgressCallback):  # type: ignore[misc]
    """A line a step for each λ would bury all else: they go to the log and to reporters, not to the terminal."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **named: Any) -> None:
        if not any(key.startswith(LOG_PREFIX) for key in logs or {}):
            super().on_log(args, state, control, logs=logs, **named)


def build_trainer(
    config: TrainConfig, model: Any, train: PairDataset, validation: PairDataset | None, collator: Collator
) -> PairTrainer:
    """A trainer for one run; checkpoints go to `<output>/checkpoints`.

    Raises:
        TrainingError: a head that is not linear for MORE or bf16, a step that cannot be balanced, a device or a model
            that cannot do what is asked for, or a reporter that is not there.
    """
    arguments = _arguments(config, model, evaluate=validation is not None)
    more, part = None, config.batch_size * arguments.world_size
    step_pairs = part * config.gradient_accumulation
    sampler: Any = EpochSampler(step_pairs, lengths=train.lengths, seed=config.seed)
    if config.more:
        more = More(find_head(plain(model)), train.sources, floor=config.more_floor, centering=config.centering)
        sampler = BalancedSampler(step_pairs, sources=train.source_ids, lengths=train.lengths, seed=config.seed)
    elif arguments.world_size > 1:
        sampler = PaddedSampler(sampler, part, pairs=len(train))
    if config.precision == "bf16":
        keep_fp32(find_head(plain(model)))
    trainer = PairTrainer(
        sampler=sampler,
        centering=config.centering,
        more=more,
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=collator,
        compute_metrics=validation_metrics(collator.sources, centering=config.centering),
    )
    if arguments.process_index:
        torch.manual_seed(config.seed + arguments.process_index)  # other dropout than the first process's
    return trainer


def _arguments(config: TrainConfig, model: Any, *, evaluate: bool) -> TrainingArguments:
    if config.precision == "bf16" and torch.cuda.is_available() and not torch.cuda.is_bf16_supported(False):
        raise TrainingError(f"{torch.cuda.get_device_name()} has no bf16; leave --precision out")
    if config.gradient_checkpointing and not plain(model).supports_gradient_checkpointing:
        raise TrainingError(f"{type(plain(model)).__name__} has no gradient checkpointing; leave the option out")
    # The library keeps a run's precision in the environment, where the process's next run would find it.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if config.precision == "bf16" else "no"
    if not torch.cuda.is_available():
        # Several processes would each be given a "cpu:1", which torch does not load a checkpoint to.
        os.environ.setdefault("ACCELERATE_TORCH_DEVICE", "cpu")
    arguments = TrainingArguments(
        output_dir=str(config.output / CHECKPOINTS),
        logging_dir=str(config.output / REPORTS),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=4 * config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        warmup_ratio=config.warmup_ratio,
        weight_decay=config.weight_decay,
        bf16=config.precision == "bf16",
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if config.gradient_checkpointing else None,
        seed=config.seed,
        save_strategy="steps" if config.save_steps else "epoch",
        save_steps=config.save_steps or 500,
        save_total_limit=2,
        eval_strategy="epoch" if evaluate else "no",
        logging_steps=25,
        report_to=reporters(config.report_to),
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # several GPUs are for several processes; the library would take nn.DataParallel
    return arguments


def last_checkpoint(output: Path) -> Path | None:
    """The newest resumable checkpoint of a run, or None. The state is written last: without it one is half-written."""
    written = (path.parent for path in (output / CHECKPOINTS).glob("checkpoint-*/trainer_state.json"))
    return max(written, key=lambda path: int(path.name.split("-")[1]), default=None)
