"""Serves a vision language model: the subset of OpenAI's endpoints that the pipeline uses with vLLM."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from aiohttp import web

from schemas.canonical import sha256_hex
from schemas.serving import MAX_REQUEST_BYTES
from workers.answering import Engine, Refused
from workers.chat_request import Chat, parse_chat

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Said:
    """What the model said, and whether it came to its end or to the limit of tokens."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int


class ChatEngine(Engine, Protocol):
    """A model that is shown pictures and told what to do."""

    @property
    def context_tokens(self) -> int: ...

    @property
    def folder(self) -> str: ...

    @property
    def versions(self) -> dict[str, str]: ...

    def complete(self, chat: Chat) -> Said:
        """Answer: a function of the request alone. Raises Refused for one that cannot be answered."""
        ...


class ChatService:
    """Answers `POST /v1/chat/completions`, one request after the other, and says which model it has."""

    path = "/v1/chat/completions"
    max_request_bytes = MAX_REQUEST_BYTES

    def __init__(self, engine: ChatEngine) -> None:
        self.engine = engine
        self.pages: Mapping[str, Callable[[], Any]] = {"/v1/models": self._models, "/version": self._version}
        self._since = int(time.time())

    async def take(self, request: web.Request) -> list[tuple[str, Chat]]:
        """Read the request. Raises Refused."""
        if (request.content_length or 0) > self.max_request_bytes:
            raise Refused(413, f"a request holds {self.max_request_bytes} bytes at most")
        body = await request.read()
        return [(sha256_hex(body), parse_chat(body, self.engine.identity.model_id))]

    def work(self, item: tuple[str, Chat]) -> dict[str, Any] | Refused:
        """Have the model answer."""
        digest, chat = item
        try:
            said = self.engine.complete(chat)
        except Refused as error:
            return error
        return self._completion(digest, said)

    def failed(self, reason: str) -> dict[str, Any] | Refused:
        """The model failed."""
        return Refused(500, f"the model failed: {reason}")

    def reply(self, results: list[dict[str, Any] | Refused]) -> bytes:
        """Write the reply. Raises Refused where there is none."""
        (result,) = results
        if isinstance(result, Refused):
            raise result
        return json.dumps(result, ensure_ascii=False).encode()

    def _completion(self, digest: str, said: Said) -> dict[str, Any]:
        message = {"role": "assistant", "content": said.text}
        return {
            "id": f"chatcmpl-{digest[:16]}",
            "object": "chat.completion",
            "created": self._since,
            "model": self.engine.identity.model_id,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": said.finish_reason}],
            "usage": {
                "prompt_tokens": said.prompt_tokens,
                "completion_tokens": said.completion_tokens,
                "total_tokens": said.prompt_tokens + said.completion_tokens,
            },
        }

    def _models(self) -> dict[str, Any]:
        identity = self.engine.identity
        model = {
            "id": identity.model_id,
            "object": "model",
            "created": self._since,
            "owned_by": identity.provider_id,
            "root": self.engine.folder,
            "max_model_len": self.engine.context_tokens,
            "model_digest": identity.model_digest,
        }
        return {"object": "list", "data": [model]}

    def _version(self) -> dict[str, Any]:
        return {"version": self.engine.versions["transformers"], "libraries": self.engine.versions}
