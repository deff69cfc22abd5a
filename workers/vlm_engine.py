"""A vision language model through transformers: one request at a time, the likeliest token always, within a schema."""

from __future__ import annotations

import os
from functools import cached_property
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

from pipeline.errors import Unavailable
from schemas.canonical import canonical_sha256
from schemas.serving import ModelIdentity, ReadFailed
from workers.answering import Refused
from workers.chat_request import Chat
from workers.chat_service import Said
from workers.vlm_folder import check_memory, digest_files, read_config
from workers.vlm_options import VlmOptions
from workers.vlm_prompt import PromptWriter

INSTALL = "pip install 'autocapture-pipeline[vlm]'"
PARAMETERS: dict[str, bool | int | str] = {"attention": "sdpa", "pictures": "pil", "sampling": "greedy", "batch": 1}
"""What decides over the answers beside weights, device, number type and the size that pictures are shrunk to. `pil`,
since torchvision, where it is installed, resizes pictures otherwise."""

_VERSIONS_THAT_MATTER = ("torch", "transformers", "tokenizers", "llguidance", "pillow")
_PACKAGES = ("torch", "transformers", "llguidance", "PIL")
_LONGEST_BY_WIDE = 200
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


class _Interrupted(Exception):
    """Nobody waits for the answer any more."""


class VlmEngine:
    """A model from a local folder; `complete` is a function of the request.

    Raises Unavailable when a package, the folder, a part of it, the device or memory is missing.
    """

    def __init__(self, options: VlmOptions) -> None:
        os.environ.update(_ENVIRONMENT, OMP_NUM_THREADS=str(options.threads))
        self._options = options
        self._folder = options.model_path
        _find_packages()
        config = read_config(self._folder)
        self._import()
        options.check_device(self._torch)
        if options.device == "cpu":
            check_memory(self._folder, options.dtype)
        self._torch.set_num_threads(options.threads)
        self._torch.use_deterministic_algorithms(True, warn_only=True)
        self._interrupted = False
        self._load(config)

    @cached_property
    def identity(self) -> ModelIdentity:
        """The folder's model, with a digest over its files and all that changes what it says."""
        described = {
            "files": digest_files(self._folder),
            "parameters": PARAMETERS | self._options.that_matter() | self._grammars.parameters,
            "versions": self.versions,
        }
        return ModelIdentity(
            provider_id=f"transformers-{self._options.device}",
            model_id=self._options.model_name,
            model_digest=canonical_sha256(described),
        )

    @cached_property
    def versions(self) -> dict[str, str]:
        """The libraries that decide over answers."""
        return {name: metadata.version(name) for name in _VERSIONS_THAT_MATTER}

    @property
    def folder(self) -> str:
        """Where the model is."""
        return str(self._folder)

    @property
    def context_tokens(self) -> int:
        """How many tokens a prompt and its answer may have together."""
        return int(self._text_config.max_position_embeddings)

    def complete(self, chat: Chat) -> Said:
        """Answer. Raises Refused for a picture, prompt or schema that cannot be."""
        matcher = None if chat.schema is None else self._grammars.matcher(chat.schema)
        pictures = self._prepare([self._decode(image) for image in chat.images])
        prompt = self._prompts.write(chat.messages, pictures)
        length = prompt["input_ids"].shape[1]
        if length + chat.max_tokens > self.context_tokens:
            wanted = f"a prompt of {length} tokens and {chat.max_tokens} more"
            raise Refused(400, f"{wanted} were asked for, the model takes {self.context_tokens}")
        return self._generate(prompt, pictures, matcher, chat.max_tokens)

    def interrupt(self) -> None:
        """Make the running answer end before its next layer."""
        self._interrupted = True

    def rearm(self) -> None:
        """Let answers run again."""
        self._interrupted = False

    def _import(self) -> None:
        try:
            self._torch, self._transformers = import_module("torch"), import_module("transformers")
            self._images = import_module("workers.images")
            self._grammar = import_module("workers.json_grammar")
            self._pillow = import_module("PIL.Image")
        except ImportError as error:
            raise Unavailable(f"the VLM server needs the package {error.name or error}", remedy=INSTALL) from error

    def _load(self, config: dict[str, Any]) -> None:
        local = {"local_files_only": True, "trust_remote_code": False}
        hub = self._transformers
        self._model, told = hub.AutoModelForImageTextToText.from_pretrained(
            self._folder,
            dtype=getattr(self._torch, self._options.dtype),
            attn_implementation=PARAMETERS["attention"],
            use_safetensors=True,
            output_loading_info=True,
            **local,
        )
        if told["missing_keys"] or told["mismatched_keys"]:
            raise Unavailable(f"weights are missing in {self._folder}", remedy="download the model again")
        self._model.eval().to(self._options.device)
        self._text_config = self._model.config.get_text_config()
        tokenizer = hub.AutoTokenizer.from_pretrained(self._folder, **local)
        self._shapes = hub.AutoImageProcessor.from_pretrained(self._folder, backend=PARAMETERS["pictures"], **local)
        self._prompts = PromptWriter(self._folder, tokenizer, config, self._shapes.merge_size)
        self._ends = _ends(self._model)
        self._grammars = self._grammar.JsonGrammars(tokenizer, int(self._text_config.vocab_size), self._ends)
        self._tokenizer = tokenizer
        self._make_interruptible()

    def _make_interruptible(self) -> None:
        """Have every layer look first whether anybody still waits."""

        def look(*_: Any) -> None:
            if self._interrupted:
                raise _Interrupted

        for module in self._model.modules():
            if isinstance(module, self._torch.nn.ModuleList):
                for layer in module:
                    layer.register_forward_pre_hook(look)

    def _decode(self, image: bytes) -> Any:
        pixels = self._images.decode_image(image)
        if isinstance(pixels, ReadFailed):
            raise Refused(400, f"{pixels.error}: {pixels.message}")
        height, width = pixels.shape[:2]
        if max(height, width) > _LONGEST_BY_WIDE * min(height, width):
            raise Refused(400, f"an image of {width} x {height} pixels is too narrow")
        return self._pillow.fromarray(pixels[:, :, ::-1])

    def _prepare(self, images: list[Any]) -> dict[str, Any]:
        """The pictures as patches, shrunk to what the model is to see; nothing when there are none."""
        if not images:
            return {}
        own = self._shapes.size
        longest = min(own["longest_edge"], self._options.max_image_pixels)
        size = {"shortest_edge": min(own["shortest_edge"], longest), "longest_edge": longest}
        return dict(self._shapes(images, size=size, return_tensors="pt"))

    def _generate(self, prompt: dict[str, Any], pictures: dict[str, Any], matcher: Any, max_tokens: int) -> Said:
        length = prompt["input_ids"].shape[1]
        guide = None if matcher is None else self._grammar.Guide(matcher, length)

        def ended(tokens: Any, _: Any, **__: Any) -> Any:
            done = guide is not None and guide.is_complete(tokens)
            return self._torch.full((tokens.shape[0],), done, dtype=self._torch.bool, device=tokens.device)

        inputs = {name: tensor.to(self._options.device) for name, tensor in (prompt | pictures).items()}
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self._model.dtype)
        with self._torch.inference_mode():
            tokens = self._model.generate(
                **inputs,
                generation_config=self._plainly(max_tokens),
                logits_processor=self._transformers.LogitsProcessorList([guide] if guide else []),
                stopping_criteria=self._transformers.StoppingCriteriaList([ended]),
            )
        said = tokens[0, length:].tolist()
        text = self._tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        is_whole = said[-1] in self._ends if guide is None else guide.is_complete(tokens) or said[-1] in self._ends
        return Said(text, "stop" if is_whole else "length", length, len(said))

    def _plainly(self, max_tokens: int) -> Any:
        """How tokens are taken; not by the folder's own habits, which may hold chance and penalties."""
        return self._transformers.GenerationConfig(
            max_new_tokens=max_tokens,
            do_sample=False,
            num_beams=1,
            eos_token_id=self._ends,
            pad_token_id=self._ends[0],
        )


def _find_packages() -> None:
    """Raise Unavailable for a package that is not there, before any of them is loaded: that takes seconds."""
    missing = next((name for name in _PACKAGES if find_spec(name) is None), None)
    if missing is not None:
        raise Unavailable(f"the VLM server needs the package {missing}", remedy=INSTALL)


def _ends(model: Any) -> list[int]:
    given = model.generation_config.eos_token_id
    return [int(token) for token in (given if isinstance(given, list) else [given])]
