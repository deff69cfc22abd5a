"""Keeps what a model says within a JSON schema, token by token, through llguidance."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from workers.answering import Refused

JSON_PARAMETERS: dict[str, bool] = {"whitespace_flexible": False}
"""No blanks between the parts of JSON, as vLLM with `disable_any_whitespace`: they could take up all tokens."""


class JsonGrammars:
    """Makes a grammar of a schema, for one tokenizer."""

    parameters = JSON_PARAMETERS

    def __init__(self, tokenizer: Any, vocabulary: int, ends: list[int]) -> None:
        self._guidance = import_module("llguidance")
        wrap = import_module("llguidance.hf").from_tokenizer
        self._tokenizer = wrap(tokenizer, n_vocab=vocabulary, eos_token=ends)

    def matcher(self, schema: dict[str, Any]) -> Any:
        """A matcher at its start. Raises Refused for a schema that is not, or not wholly, understood."""
        make = self._guidance.LLMatcher
        grammar = make.grammar_from_json_schema(schema, overrides=JSON_PARAMETERS)
        failed, reasons = make.validate_grammar_with_warnings(grammar, self._tokenizer)
        if failed or reasons:
            raise Refused(400, f"the JSON schema cannot be followed: {'; '.join(reasons)[:400]}")
        return make(self._tokenizer, grammar, log_level=0)


class Guide:
    """A logits processor: forbids each token with which the answer could no more come to fit the schema."""

    def __init__(self, matcher: Any, prompt_tokens: int) -> None:
        self._matcher = matcher
        self._seen = prompt_tokens
        self._torch = import_module("torch")

    def __call__(self, tokens: Any, scores: Any) -> Any:
        self._follow(tokens)
        allowed = self._torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=self._torch.uint8)
        forbidden = (allowed == 0).to(scores.device)
        scores[:, : len(forbidden)].masked_fill_(forbidden, float("-inf"))
        scores[:, len(forbidden) :] = float("-inf")
        return scores

    def is_complete(self, tokens: Any) -> bool:
        """Whether nothing more can follow."""
        self._follow(tokens)
        return bool(self._matcher.is_stopped())

    def _follow(self, tokens: Any) -> None:
        for token in tokens[0, self._seen :].tolist():
            if not self._matcher.consume_token(token):
                raise RuntimeError("the grammar lost its way")
        self._seen = tokens.shape[1]
