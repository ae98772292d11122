"""The policy: a small Llama and its tokenizer, made from scratch, and how to sample from it.

Shapes: B texts, T tokens, V vocabulary.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, START, ANSWER, END = "<pad>", "<s>", "<answer>", "</s>"
MOST_NEW_TOKENS = 40
_VOCABULARY = 2048


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled answer."""

    prompt: str
    text: str
    tokens: int
    """New ones, the end included."""
    log_ratio: float
    """log π(y|x) − log π₀(y|x) in nats: its mean over samples of π is KL(π‖π₀)."""


def one_thread() -> None:
    """Several runs share the machine, and so small a model gains nothing from more."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)


def new_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of these texts; a prompt reads `<s> prompt <answer>`, padded on the left."""
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bare.decoder = decoders.ByteLevel()
    special = [PAD, START, ANSWER, END]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bare.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=_VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    bare.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {ANSWER}", special_tokens=[(name, bare.token_to_id(name)) for name in (START, ANSWER)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, pad_token=PAD, bos_token=START, eos_token=END, padding_side="left",
        additional_special_tokens=[ANSWER],
    )  # fmt: skip


def new_policy(tokenizer: Any) -> Any:
    """Three layers, 192 wide: 1.7 million weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def load_policy(folder: Path) -> tuple[Any, Any]:
    """A saved policy and its tokenizer."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def sample(policy: Any, start: Any, tokenizer: Any, prompts: Sequence[str], *, seed: int) -> list[Sample]:
    """One answer a prompt at temperature 1; training's random numbers are left as they were.

    Args:
        start: the policy that `log_ratio` compares with; None if it is the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        batch = tokenizer(list(prompts), return_tensors="pt", padding=True)
        was_training = policy.training
        policy.eval()
        ids_BT = policy.generate(
            **_inputs(batch), do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=MOST_NEW_TOKENS
        )
        policy.train(was_training)
    context = batch["input_ids"].shape[1]
    new_BT = ids_BT[:, context:]
    ended_BT = new_BT == tokenizer.eos_token_id
    kept_BT = (ended_BT.cumsum(1) - ended_BT.long()) == 0  # up to and with the first end
    mask_BT = torch.cat([batch["attention_mask"], kept_BT.long()], dim=1)
    ratios_B = _log_ratio(policy, start, ids_BT, mask_BT, kept_BT)
    texts = tokenizer.batch_decode(torch.where(kept_BT, new_BT, tokenizer.pad_token_id), skip_special_tokens=True)
    rows = zip(prompts, texts, kept_BT.sum(1).tolist(), ratios_B.tolist(), strict=True)
    return [Sample(prompt, text.strip(), int(tokens), float(ratio)) for prompt, text, tokens, ratio in rows]


def _inputs(batch: Any) -> dict[str, torch.Tensor]:
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def _log_ratio(
    policy: Any, start: Any, ids_BT: torch.Tensor, mask_BT: torch.Tensor, kept_BT: torch.Tensor
) -> torch.Tensor:
    if start is None:
        return torch.zeros(len(ids_BT))
    one, other = (_log_probability(each, ids_BT, mask_BT, kept_BT) for each in (policy, start))
    return one - other


def _log_probability(model: Any, ids_BT: torch.Tensor, mask_BT: torch.Tensor, kept_BT: torch.Tensor) -> torch.Tensor:
    context = ids_BT.shape[1] - kept_BT.shape[1]
    positions_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
    logits_BTV = model(input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT).logits[:, context - 1 : -1]
    chosen_BT = logits_BTV.log_softmax(-1).gather(-1, ids_BT[:, context:, None]).squeeze(-1)
    total_B: torch.Tensor = (chosen_BT * kept_BT).sum(1)
    return total_B
