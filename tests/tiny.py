"""Tiny random reward models of real architectures with tokenizers made on the spot, and bundles exported from them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from model_export.checkpoint import open_checkpoint
from model_export.pipeline import Published, Target, export
from model_export.sample_texts import sample_items
from plurality.core.pairs import ResponsePair
from plurality.core.rows import PreferenceRow
from service.bundle.calibrate import sigmoid
from service.bundle.manifest import Precision
from service.bundle.pointer import DEFAULT_ALIAS
from service.domain import ScoreItem

KINDS = ("bert", "roberta", "deberta-v2", "modernbert", "llama", "qwen3")
PAIR_KINDS, CHAT_KINDS = KINDS[:4], KINDS[4:]
_VOCABULARY = 600
_HERE = Path(__file__).parent
"""Holds the vocabularies that tokenizers' WordPiece and Unigram trainers once made of `texts()`: each process makes
another, since they draw their order from a random hash, and rewards of tiny models would differ from run to run."""
_CONFIG: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_labels": 1,
}
_GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
_LLAMA_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
)
_CHATML_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


def texts() -> list[str]:
    """What the tokenizers are trained on."""
    return [text for item in sample_items(200, seed=7) for text in (str(item.prompt), item.response)]


def build_tiny_checkpoint(kind: str, directory: Path, *, seed: int = 0) -> Path:
    """Save a random sequence classifier with one label and its fast tokenizer; rewards vary by about 1."""
    torch.manual_seed(seed)
    tokenizer = _TOKENIZERS[kind]()
    config = _config(kind, tokenizer)
    model = hf.AutoModelForSequenceClassification.from_config(config)
    _widen(model)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def _config(kind: str, tokenizer: Any) -> Any:
    classes: dict[str, tuple[Any, dict[str, Any]]] = {
        "bert": (hf.BertConfig, {"max_position_embeddings": 512}),
        "roberta": (hf.RobertaConfig, {"max_position_embeddings": 514, "type_vocab_size": 1}),
        "deberta-v2": (hf.DebertaV2Config, {
            "max_position_embeddings": 512, "relative_attention": True, "position_buckets": 32, "type_vocab_size": 0,
            "pos_att_type": ["p2c", "c2p"], "share_att_key": True, "norm_rel_ebd": "layer_norm",
            "position_biased_input": False, "pooler_hidden_size": 32,
        }),
        "modernbert": (hf.ModernBertConfig, {"max_position_embeddings": 512, "local_attention": 16}),
        "llama": (hf.LlamaConfig, {"max_position_embeddings": 512, **_GROUPED}),
        "qwen3": (hf.Qwen3Config, {"max_position_embeddings": 512, **_GROUPED}),
    }  # fmt: skip
    kind_class, extra = classes[kind]
    ids = {"pad_token_id": tokenizer.pad_token_id, "vocab_size": len(tokenizer)}
    for name in ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"):
        if (value := getattr(tokenizer, name)) is not None:
            ids[name] = value
    return kind_class(**_CONFIG, **extra, **ids)


def _widen(model: Any) -> None:
    """Wide weights: rewards then vary with the text as a trained model's do, not in the last digits."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0.0, 1.5 * parameter.shape[1] ** -0.5)


def _wrap(tokenizer: Tokenizer, **special: str | list[str]) -> Any:
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **special)


def _pair_template(tokenizer: Tokenizer, single: str, pair: str, special: Sequence[str]) -> None:
    ids = [(token, tokenizer.token_to_id(token)) for token in special]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def _wordpiece() -> Any:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = (_HERE / "tiny_wordpiece.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(special)
    _pair_template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", special[2:4])
    return _wrap(
        tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]"
    )


def _byte_bpe(special: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def chat_tokenizer(template: str, special: Sequence[str], *, words: Sequence[str] = (), **parts: str) -> Any:
    """A decoder's tokenizer with a chat template; one with a `bos_token` puts it before every text by itself.

    Args:
        special: its special tokens.
        words: added tokens that are not special.
    """
    raw = _byte_bpe(special)
    raw.add_tokens([AddedToken(word, normalized=False) for word in words])
    if bos := parts.get("bos_token"):
        _pair_template(raw, f"{bos} $A", f"{bos} $A {bos} $B", [bos])
    made = _wrap(raw, **parts)
    made.chat_template = template
    return made


def _roberta() -> Any:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = _byte_bpe(special)
    _pair_template(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>", ["<s>", "</s>"])
    return _wrap(
        tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
    )


def _modernbert() -> Any:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = _byte_bpe(special)
    _pair_template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", special[2:4])
    return _wrap(
        tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]"
    )


def _unigram() -> Any:
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    scores = [tuple(entry) for entry in json.loads((_HERE / "tiny_unigram.json").read_text(encoding="utf-8"))]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=special.index("[UNK]"), byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(special)
    _pair_template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", special[1:3])
    return _wrap(
        tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]"
    )


def _llama() -> Any:
    special = ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|pad|>"]
    # As Llama 3 is published: the header tokens are special, but no part of `all_special_tokens`.
    tokenizer = _wrap(_byte_bpe(special), bos_token=special[0], eos_token=special[1], pad_token=special[4])
    tokenizer.chat_template = _LLAMA_TEMPLATE
    return tokenizer


def _qwen3() -> Any:
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = _wrap(
        _byte_bpe(special), eos_token=special[2], pad_token=special[0], additional_special_tokens=special[1:2]
    )
    tokenizer.chat_template = _CHATML_TEMPLATE
    return tokenizer


_TOKENIZERS: dict[str, Callable[[], Any]] = {
    "bert": _wordpiece, "roberta": _roberta, "deberta-v2": _unigram, "modernbert": _modernbert, "llama": _llama,
    "qwen3": _qwen3,
}  # fmt: skip


def labeled_pairs(checkpoint_directory: Path, count: int, *, seed: int = 0) -> list[PreferenceRow]:
    """Pairs labeled by the model's own rewards, softly: σ(difference / 2), so the temperature to be found is 2."""
    checkpoint = open_checkpoint(str(checkpoint_directory))
    items = [item for item in sample_items(20 * count, seed=seed + 1) if item.characters < 400][: 2 * count]
    pairs: list[PreferenceRow] = []
    for first, second in zip(items[::2], items[1::2], strict=True):
        answers = [ScoreItem(first.prompt, text) for text in (first.response, second.response)]
        a, b = checkpoint.logits(checkpoint.encode(answers))
        pair = ResponsePair(first.prompt, first.response, second.response)
        pairs.append(PreferenceRow.of(pair, id=str(len(pairs)), label=sigmoid((a - b) / 2)))
    return pairs


def publish_tiny(
    store: Path,
    name: str = "tiny",
    *,
    kind: str = "bert",
    seed: int = 0,
    calibrated: bool = True,
    precisions: Sequence[Precision] = ("fp32",),
    aliases: Sequence[str] = (DEFAULT_ALIAS,),
) -> list[Published]:
    """Build a checkpoint beside the store and publish it through the real pipeline."""
    directory = build_tiny_checkpoint(kind, store.parent / f"checkpoint-{name}-{seed}", seed=seed)
    held_out = labeled_pairs(directory, 60, seed=seed) if calibrated else []
    target = Target(store, name, precisions, aliases=aliases)
    return export(open_checkpoint(str(directory)), target, held_out=held_out, say=lambda _: None)
