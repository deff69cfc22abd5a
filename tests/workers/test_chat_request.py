"""What of OpenAI's chat endpoint is understood, and that the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest
from vlm_chats import SCREEN, data_url, picture, request, sent

from workers.answering import Refused
from workers.chat_request import parse_chat


def refusal(body: bytes) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        parse_chat(body, "tiny-vlm")
    return caught.value.status, caught.value.reason


def test_a_picture_and_a_text_with_a_schema_are_read() -> None:
    image = picture()
    chat = parse_chat(sent(request(image, schema=SCREEN)), "tiny-vlm")
    assert chat.images == [image]
    assert chat.messages == [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the screen."}]}
    ]
    assert (chat.schema, chat.max_tokens) == (SCREEN, 200)


def test_a_message_may_be_a_plain_text_and_the_answer_free() -> None:
    body = request(messages=[{"role": "system", "content": "Be brief."}], response_format={"type": "text"})
    chat = parse_chat(sent(body), "tiny-vlm")
    assert chat.messages == [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}]
    assert chat.schema is None


@pytest.mark.parametrize(
    ("more", "limit"),
    [({"max_completion_tokens": 7}, 7), ({"max_tokens": 9}, 9), ({"max_tokens": None}, 1_024)],
)
def test_the_limit_of_tokens_has_two_names_and_a_default(more: dict[str, Any], limit: int) -> None:
    assert parse_chat(sent(request(**more)), "tiny-vlm").max_tokens == limit


@pytest.mark.parametrize(
    "more",
    [
        {"guided_json": SCREEN},
        {"structured_outputs": {"json": SCREEN}},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "json": SCREEN}}},
        {"stream": True},
        {"n": 2},
        {"messages": []},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
        {"max_tokens": 0},
        {"temperature": 0.7},
        {"tools": []},
    ],
)
def test_what_is_not_understood_is_refused_rather_than_passed_over(more: dict[str, Any]) -> None:
    assert refusal(sent(request(**more)))[0] == 400


def test_a_temperature_that_is_left_out_is_refused_since_it_would_mean_chance() -> None:
    body = request()
    del body["temperature"]
    assert refusal(sent(body)) == (400, "the likeliest token is taken, always: temperature is to be 0")


def test_another_model_is_not_found() -> None:
    status, reason = refusal(sent(request(model="other")))
    assert (status, reason) == (404, "the model 'other' is not served here; this server has 'tiny-vlm'")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x.png",
        "https://example.org/x.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "data:text/plain;base64,eA==",
        "data:image/png,eA==",
        "data:image/png;base64,e!!!",
    ],
)
def test_only_pictures_in_the_request_itself_are_taken(url: str) -> None:
    body = request(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
    assert refusal(sent(body))[0] == 400


def test_a_flood_of_pictures_is_refused() -> None:
    assert refusal(sent(request(*[picture(8, 8)] * 5))) == (400, "a request holds 4 images at most")


def test_a_refusal_does_not_quote_what_was_said() -> None:
    status, reason = refusal(sent(request(messages=[{"role": "user", "content": {"secret": "my password"}}])))
    assert status == 400
    assert "password" not in reason
    assert refusal(b"my password")[1] == "the request is not understood at its start: Invalid JSON: " + (
        "expected value at line 1 column 1"
    )


def test_a_data_url_round_trip() -> None:
    image = picture(3, 2)
    part = {"type": "image_url", "image_url": {"url": data_url(image), "detail": "high"}}
    assert parse_chat(sent(request(messages=[{"role": "user", "content": [part]}])), "tiny-vlm").images == [image]
