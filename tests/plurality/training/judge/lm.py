"""A tiny random causal language model that answers 'Choice: A' or 'Choice: B', mostly; what it prefers is chance.

Three dimensions of its residual stream are reserved: any token says "next comes 'Choice:'", that one says "next comes a
label", and a label says "the end". All else is random, so that every text gets logits of its own.
"""

from pathlib import Path
from typing import Any

import torch
import transformers as hf
from torch import Tensor

from plurality.training.judge.prompt import judge_prompt
from tests.tiny import chat_tokenizer

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_SPECIAL = ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|pad|>")
LABELS = (" A", " B", "A", "B")
_START = "Choice:"
_PULL, _SIZE = 3.0, 4.0
_SPREAD, _BIAS = 1.5, 0.6
"""Of the logit of A against B over texts, and what A gains whatever the text: the position's bias."""
_LOOK = 3.0
"""Attention that looks at few tokens: the label then depends on the answers, and on their order."""


def build_judge_model(directory: Path, *, seed: int = 0) -> Path:
    """Save the model and its tokenizer."""
    torch.manual_seed(seed)
    tokenizer = chat_tokenizer(
        TEMPLATE, _SPECIAL, words=(_START, *LABELS), bos_token=_SPECIAL[0], eos_token=_SPECIAL[1], pad_token=_SPECIAL[4]
    )
    config = hf.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=4096, tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = hf.LlamaForCausalLM(config)
    start = tokenizer.convert_tokens_to_ids(_START)
    labels = [tokenizer.convert_tokens_to_ids(label) for label in LABELS]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0.0, parameter.shape[1] ** -0.5)
        for layer in model.model.layers:
            for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                part.weight *= _LOOK
            layer.self_attn.o_proj.weight[:3] = 0.0
            layer.mlp.down_proj.weight[:3] = 0.0
        said, head = model.model.embed_tokens.weight, model.lm_head.weight
        head *= 0.3
        said[:, :3], head[:, :3] = 0.0, 0.0
        said[:, 0] = _SIZE
        said[start, :3] = torch.tensor([0.0, _SIZE, 0.0])
        said[labels, :3] = torch.tensor([0.0, 0.0, _SIZE])
        head[start, 0] = head[tokenizer.eos_token_id, 2] = _PULL
        head[labels, 1] = _PULL
        taste = _taste(model, tokenizer)
        head[labels[0::2]] += taste / 2
        head[labels[1::2]] -= taste / 2
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def _taste(model: Any, tokenizer: Any) -> Tensor:
    """A direction in which the texts differ, so that the judge is neither sure nor indifferent, shape [hidden]."""
    hidden = []
    for index in range(24):
        question, answers = f"Question {index}", (f"{index * 7919} was one", f"the other when {index * 104729}")
        for first, second in (answers, answers[::-1]):
            ids_1T = tokenizer.apply_chat_template(
                _prefilled(judge_prompt(question, first, second)), continue_final_message=True, return_tensors="pt"
            )
            hidden.append(model.model(ids_1T).last_hidden_state[0, -1])
    hidden_NH = torch.stack(hidden)
    mean_H = hidden_NH.mean(0)
    turned_NH = hidden_NH[0::2] - hidden_NH[1::2]
    direction_H = torch.linalg.svd(turned_NH - turned_NH.mean(0)).Vh[0]
    direction_H -= mean_H * (direction_H @ mean_H) / (mean_H @ mean_H)
    direction_H *= _SPREAD / (turned_NH @ direction_H).std()
    taste_H: Tensor = direction_H + mean_H * _BIAS / (mean_H @ mean_H)
    return taste_H


def _prefilled(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": _START}]


class JudgeModel:
    """The model, run by transformers in float64. Shapes: T tokens, N answers, V vocabulary."""

    def __init__(self, directory: Path) -> None:
        self.tokenizer: Any = hf.AutoTokenizer.from_pretrained(directory)
        self.model: Any = hf.AutoModelForCausalLM.from_pretrained(directory).double().eval()

    def encode(self, messages: list[dict[str, str]], *, continue_final: bool = False) -> Tensor:
        """Ids of a conversation, shape [1, T]."""
        ids: Tensor = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=not continue_final, continue_final_message=continue_final,
            return_tensors="pt",
        )  # fmt: skip
        return ids

    def next_logits(self, ids_1T: Tensor) -> Tensor:
        """Logits of the token after the last one, shape [V]; one plain forward pass."""
        with torch.no_grad():
            logits: Tensor = self.model(ids_1T).logits[0, -1]
        return logits

    def sample(
        self, ids_1T: Tensor, *, n: int, temperature: float, top_p: float, max_tokens: int, seed: int | None
    ) -> tuple[Tensor, list[Tensor]]:
        """New ids, shape [N, T'], and for each place the raw logits, shape [N, V]."""
        if seed is not None:
            torch.manual_seed(seed)
        how = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0} if temperature else {}
        with torch.no_grad():
            made = self.model.generate(
                ids_1T, attention_mask=torch.ones_like(ids_1T), num_return_sequences=n, max_new_tokens=max_tokens,
                output_logits=True, return_dict_in_generate=True, **how,
            )  # fmt: skip
        return made.sequences[:, ids_1T.shape[1] :], list(made.logits)

    def text(self, ids: list[int]) -> str:
        """What was said, without the end."""
        said: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return said

    def logprobs(self, logits_V: Tensor, count: int) -> list[tuple[str, float]]:
        """The likeliest tokens and their log probabilities, as OpenAI lists them."""
        values, ids = torch.log_softmax(logits_V, -1).topk(count)
        return [
            (self.tokenizer.decode([token]), value) for token, value in zip(ids.tolist(), values.tolist(), strict=True)
        ]
