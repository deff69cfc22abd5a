"""A Qwen2-VL of 4 million random weights in a local folder: what it says means nothing, how it is served is real.

Made in a second, the same bytes each time, and loaded by transformers and by vLLM as any other model of its kind.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_LINE = 'The screen shows a window, a button "OK" and an input. {"summary": "a window", "elements": []}'
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_PICTURES = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "min_pixels": 3136,
    "max_pixels": 50_176,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
_RANGE = 0.1
"""Weights five times as large as usual: another picture, or another token, then gives quite another answer."""

_COMMON = 0.2
_LEANINGS = {'"': 20.0, "]": 28.0, "{": 34.0}
_CONTEXT = 16_384


def make_tiny_vlm(folder: Path, seed: int = 0) -> Path:
    """Write the model's folder: weights, tokenizer, chat template and how pictures are prepared; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = _write_tokenizer(folder)
    _write_model(folder, ids, seed)
    (folder / "preprocessor_config.json").write_text(json.dumps(_PICTURES, indent=2))
    (folder / "chat_template.jinja").write_text(_TEMPLATE)
    return folder


def _write_tokenizer(folder: Path) -> dict[str, int]:
    tokenizers, transformers = import_module("tokenizers"), import_module("transformers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=sorted(made.pre_tokenizer.alphabet()), show_progress=False
    )
    made.train_from_iterator([_LINE], trainer)
    made.add_special_tokens(list(_SPECIAL))
    wrapped = transformers.Qwen2TokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=_CONTEXT
    )
    wrapped.save_pretrained(folder)
    return {name: made.token_to_id(name) for name in _SPECIAL} | {"size": made.get_vocab_size()}


def _write_model(folder: Path, ids: dict[str, int], seed: int) -> None:
    torch, transformers = import_module("torch"), import_module("transformers")
    config = transformers.Qwen2VLConfig(
        text_config=_text_config(ids),
        vision_config={"depth": 2, "embed_dim": 256, "hidden_size": 256, "num_heads": 4, "mlp_ratio": 2},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.Qwen2VLForConditionalGeneration(config)
    _lean_to_an_end(model, folder)
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=[ids["<|im_end|>"], ids["<|endoftext|>"]], pad_token_id=ids["<|endoftext|>"]
    )
    model.save_pretrained(folder)


def _lean_to_an_end(model: Any, folder: Path) -> None:
    """Make the marks that end a text or a list likelier than others, or each answer would be as long as allowed.

    The first number of every token's vector is the same, and no layer changes it. So the first of each row of the last
    layer is what that token is likely by, whatever was said before.
    """
    known = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    torch = import_module("torch")
    with torch.no_grad():
        model.model.language_model.embed_tokens.weight[:, 0] = _COMMON
        for layer in model.model.language_model.layers:
            layer.self_attn.o_proj.weight[0] = 0
            layer.mlp.down_proj.weight[0] = 0
        model.lm_head.weight[:, 0] = 0
        for mark, lean in _LEANINGS.items():
            model.lm_head.weight[known[mark], 0] = lean


def _text_config(ids: dict[str, int]) -> dict[str, Any]:
    return {
        "vocab_size": ids["size"],
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": _CONTEXT,
        "initializer_range": _RANGE,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [8, 12, 12]},
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "dtype": "float32",
    }
