"""The embedding client against a real server without a model, and against answers that are not to be believed."""

from __future__ import annotations

import base64
import json
import os
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from loopback_server import Replying, served

from pipeline.clients import ServerGone
from pipeline.clients.embed import EmbedClient, NotEmbedded, embed_question, embed_wordings
from pipeline.clients.run_file import started_at
from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid
from pipeline.gate import Lookout
from pipeline.runs.servers import find_server, start_server, stop_server
from schemas.serving import Embedding, ModelIdentity, RunFile, SampleFailure

NULL_SERVER = [sys.executable, str(Path(__file__).parents[1] / "scripts" / "null_embed_server.py")]
MODEL = ModelIdentity(provider_id="p", model_id="m", model_digest="0" * 64)
UNIT = array("f", [0.6, 0.8])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataRoot]:
    place = DataRoot(tmp_path_factory.mktemp("embed") / "data").create()
    start_server(place, "embed", [*NULL_SERVER, "--run-file", str(place.worker_file("embed"))], timeout_s=60)
    yield place
    stop_server(place, "embed")


def client(root: DataRoot, texts_allowed: int = 1_000) -> EmbedClient:
    server = find_server(root, "embed")
    assert server is not None
    left = iter(range(texts_allowed))
    return EmbedClient(server, may_send=Lookout(lambda: next(left, None) is not None, every_s=60), timeout_s=10)


def encoded(vector: array[float]) -> str:
    return base64.b64encode(vector.tobytes()).decode()


@contextmanager
def answering(status: int, reply: Any) -> Iterator[RunFile]:
    """A server that gives the same answer to everything."""
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()

    class Handler(Replying):
        def answer(self, method: str) -> None:
            self.body()
            self.reply(status, body)

    with served(Handler) as url:
        began = started_at(os.getpid())
        assert began is not None
        yield RunFile(kind="embed", pid=os.getpid(), created_at=began, url=url, token="t", model=MODEL)


def ask(server: RunFile, *texts: str) -> list[Embedding | SampleFailure]:
    return [result for _, result in EmbedClient(server, may_send=Lookout(lambda: True), timeout_s=5)(texts)]


def test_each_text_gets_its_own_vector_whatever_stands_beside_it(root: DataRoot) -> None:
    texts = [f"text {number % 7}" for number in range(50)]
    together = dict(client(root)(texts))
    assert sorted(together) == list(range(50))
    for index in (0, 13, 49):
        assert dict(client(root)([texts[index]])) == {0: together[index]}
    assert together[0] == together[7] != together[1]


def test_no_request_is_sent_once_the_gate_is_closed(root: DataRoot) -> None:
    assert [index for index, _ in client(root, texts_allowed=1)(["one", "two", "three"])] == [0]


def test_no_texts_are_no_request(root: DataRoot) -> None:
    assert list(client(root)([])) == []


@pytest.mark.parametrize(
    "results",
    [
        [],
        [{"vector": encoded(UNIT), "tokens": 1, "cut": False}] * 2,
        [{"vector": encoded(array("f", [1.0, 1.0])), "tokens": 1, "cut": False}],
        [{"vector": encoded(array("f", [float("nan"), 1.0])), "tokens": 1, "cut": False}],
        [{"vector": "", "tokens": 1, "cut": False}],
        [{"vector": "AAA=", "tokens": 1, "cut": False}],
        [{"vector": "not base64!", "tokens": 1, "cut": False}],
        [{"vector": encoded(UNIT), "tokens": -1, "cut": False}],
        [{"vector": encoded(UNIT), "tokens": 1, "cut": False, "more": 1}],
    ],
)
def test_an_answer_that_is_not_what_was_agreed_on_is_a_failure(results: Any) -> None:
    with answering(200, {"results": results}) as server:
        [found] = ask(server, "text")
        assert isinstance(found, SampleFailure)
        assert (found.code, found.retryable) == ("reply_invalid", True)


def test_vectors_of_two_sizes_in_one_answer_are_not_believed() -> None:
    one, other = ({"vector": encoded(array("f", values)), "tokens": 1, "cut": False} for values in ([1], [0.6, 0.8]))
    with answering(200, {"results": [one, other]}) as server:
        found = ask(server, "only one is asked for at first", "and then the other")
        assert {item.code for item in found if isinstance(item, SampleFailure)} == {"reply_invalid"}


def test_a_text_on_which_the_model_fails_costs_itself_only() -> None:
    with answering(200, {"results": [{"error": "model_failed", "message": "RuntimeError"}]}) as server:
        [found] = ask(server, "text")
        assert found == SampleFailure("model_failed", "the model failed on this text", True)


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (500, True)])
def test_a_refusal_is_a_failure(status: int, retryable: bool) -> None:
    with answering(status, {}) as server:
        [found] = ask(server, "text")
        assert found == SampleFailure("request_refused", f"the server answered {status}", retryable)


def test_a_server_that_is_gone_or_is_another_one_is_told_apart_from_a_bad_answer() -> None:
    with answering(401, {}) as server, pytest.raises(ServerGone):
        ask(server, "text")
    with pytest.raises(ServerGone):
        ask(server, "text")


def test_an_endpoint_that_is_not_on_loopback_is_refused_before_anything_is_sent() -> None:
    server = RunFile(kind="embed", pid=1, created_at=0, url="http://192.0.2.1:80", token="t", model=MODEL)
    with pytest.raises(ContractInvalid):
        EmbedClient(server, may_send=Lookout(lambda: True), timeout_s=1)


def test_a_request_that_is_none_is_refused_without_quoting_it(root: DataRoot) -> None:
    import http.client

    server = find_server(root, "embed")
    assert server is not None
    for body in (
        b"secret",
        b'{"texts": []}',
        b'{"texts": ["secret", 1]}',
        json.dumps({"texts": ["s" * 8_001]}).encode(),
    ):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=5)
        connection.request("POST", "/v1/embed", body, {"Authorization": f"Bearer {server.token}"})
        response = connection.getresponse()
        assert response.status == 400
        assert b"secret" not in response.read()
        connection.close()


def test_a_question_gets_the_same_vector_as_a_span(root: DataRoot) -> None:
    [(_, span)] = client(root)(["what is due"])
    assert isinstance(span, Embedding)
    assert embed_question(root, "what is due", timeout_s=5) == span.vector


def test_a_question_for_another_model_is_not_embedded(root: DataRoot) -> None:
    server = find_server(root, "embed")
    assert server is not None
    assert embed_question(root, "q", timeout_s=5, model_digest=server.model.model_digest) is not None
    assert embed_question(root, "q", timeout_s=5, model_digest="f" * 64) is None


def test_a_question_without_a_server_or_with_a_slow_one_is_not_waited_for(tmp_path: Path) -> None:
    place = DataRoot(tmp_path / "data").create()
    assert embed_question(place, "q") is None
    command = [*NULL_SERVER, "--delay-s", "0.5", "--run-file", str(place.worker_file("embed"))]
    server = start_server(place, "embed", command, timeout_s=60)
    try:
        assert embed_question(place, "q", timeout_s=0.05) is None
        psutil.Process(server.pid).kill()
        psutil.Process(server.pid).wait(5)
        assert embed_question(place, "q", timeout_s=5) is None
    finally:
        stop_server(place, "embed")


def test_a_damaged_run_file_is_no_server(tmp_path: Path) -> None:
    place = DataRoot(tmp_path / "data").create()
    place.workers.mkdir()
    place.worker_file("embed").write_text("{")
    assert embed_question(place, "q") is None


def test_wordings_come_together_or_not_at_all(root: DataRoot) -> None:
    one, other, again = embed_wordings(root, ["what is due", "when", "what is due"], 60)
    assert one == again == embed_question(root, "what is due", timeout_s=60)
    assert one != other


def test_why_nothing_was_embedded_is_said(root: DataRoot, tmp_path: Path) -> None:
    place = DataRoot(tmp_path / "data").create()
    with pytest.raises(NotEmbedded, match="no embedding server runs"):
        embed_wordings(place, ["q"], 5)
    with pytest.raises(NotEmbedded, match="another model than the landscape"):
        embed_wordings(root, ["q"], 5, model_digest="f" * 64)
    place.workers.mkdir()
    for status, reply in ((200, {"results": []}), (500, {}), (200, b"nothing")):
        with answering(status, reply) as server:
            place.worker_file("embed").write_text(server.model_dump_json())
            with pytest.raises(NotEmbedded, match="no answer that can be used"):
                embed_wordings(place, ["q"], 5)
    with pytest.raises(NotEmbedded, match="no embedding server runs"):
        embed_wordings(place, ["q"], 5)  # its run file was left behind


def test_what_has_the_address_of_a_server_that_is_gone_is_not_sent_the_question(tmp_path: Path) -> None:
    place = DataRoot(tmp_path / "data").create()
    place.workers.mkdir()
    vector = {"vector": encoded(UNIT), "tokens": 1, "cut": False}
    with answering(200, {"results": [vector]}) as server:
        place.worker_file("embed").write_text(server.model_dump_json())
        assert embed_question(place, "q", 5) == UNIT
        for changes in ({"created_at": server.created_at - 1}, {"pid": 1 << 22}, {"pid": -1}):
            place.worker_file("embed").write_text(server.model_copy(update=changes).model_dump_json())
            with pytest.raises(NotEmbedded, match="no embedding server runs"):
                embed_wordings(place, ["q"], 5)
