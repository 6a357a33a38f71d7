"""Access tokens: asked for with a secret, shared, renewed before they end, and never shown."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from kroute.errors import ConfigError, SourceUnreachable
from kroute.oauth import OAuth, Token, Tokens, check, fetch, tokens
from kroute.settings import load
from kroute.stream.app import TokenProvider, credentials

SECRET = "se/cr+et %:value"


class Endpoint:
    """Answers with what ``answers`` holds, the last for ever: a status and a body."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = [(200, {"access_token": "tok-1", "expires_in": 100})]
        self.asked: list[tuple[dict[str, str], dict[str, list[str]]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked.append((dict(self.headers), parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())))
                status, body = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", outer.url + "/elsewhere")
                self.end_headers()
                self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    it = Endpoint()
    yield it
    it.server.shutdown()
    it.server.server_close()


def client(endpoint: Endpoint) -> OAuth:
    return OAuth(endpoint.url, "kroute worker", SECRET, "kafka:read")


def test_a_token_is_asked_for_as_the_standard_says(endpoint: Endpoint) -> None:
    assert fetch(client(endpoint), 1000.0) == Token("tok-1", 1100.0)
    headers, form = endpoint.asked[0]
    login = b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
    assert login == "kroute+worker:se%2Fcr%2Bet+%25%3Avalue", "both are encoded first: RFC 6749, 2.3.1"
    assert form == {"grant_type": ["client_credentials"], "scope": ["kafka:read"]}
    assert SECRET not in str(form)


def test_it_is_renewed_before_it_ends_and_kept_until_then(endpoint: Endpoint) -> None:
    now = [1000.0]
    source = Tokens(client(endpoint), lambda: now[0])
    assert [source.get().value for _ in range(3)] == ["tok-1"] * 3
    assert len(endpoint.asked) == 1
    endpoint.answers = [(200, {"access_token": "tok-2", "expires_in": 100})]
    now[0] = 1074.9
    assert source.get().value == "tok-1"
    now[0] = 1075.0
    assert source.get() == Token("tok-2", 1175.0)
    assert len(endpoint.asked) == 2


def test_an_endpoint_that_is_down_disturbs_nothing_while_the_token_lives(endpoint: Endpoint) -> None:
    now = [1000.0]
    source = Tokens(client(endpoint), lambda: now[0])
    source.get()
    endpoint.answers = [(503, b"busy")]
    now[0] = 1080.0
    assert source.get().value == "tok-1"
    assert source.get().value == "tok-1"
    assert len(endpoint.asked) == 2, "not asked again for some seconds"
    now[0] = 1099.9
    assert source.get().value == "tok-1"
    now[0] = 1105.0
    with pytest.raises(SourceUnreachable, match="HTTP 503"):
        source.get()
    endpoint.answers = [(200, {"access_token": "tok-3", "expires_in": 100})]
    assert source.get().value == "tok-3"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, {"error": "invalid_client", "error_description": f"not {SECRET}"}, r"HTTP 401: invalid_client: not \*\*\*"),
        (500, b"\xff\xfe", "HTTP 500"),
        (302, b"", "HTTP 302"),
        (200, b"<html>", "holds no access_token"),
        (200, {"access_token": "x"}, "holds no access_token with expires_in"),
        (200, {"access_token": "", "expires_in": 10}, "its token is empty"),
        (200, {"access_token": "x", "expires_in": 0}, "lives for less than 1 s"),
        (200, {"access_token": "x", "expires_in": "nan"}, "lives for less than 1 s"),
        (200, [1], "holds no access_token"),
    ],
)
def test_an_answer_that_is_no_token_is_told_without_the_secret(endpoint: Endpoint, status: int, body: Any, says: str) -> None:
    endpoint.answers = [(status, body)]
    env = {
        "KROUTE_SECURITY_PROTOCOL": "SASL_SSL", "KROUTE_OAUTH_TOKEN_URL": endpoint.url, "KROUTE_OAUTH_CLIENT_ID": "kroute worker",
        "KROUTE_OAUTH_CLIENT_SECRET": SECRET,
    }  # fmt: skip
    kafka = load(env).kafka
    with pytest.raises(SourceUnreachable, match=says) as told:
        kafka.librdkafka()
    assert SECRET not in str(told.value)
    assert len(endpoint.asked) == 1, "a redirect is not followed: it would carry the secret away"


def test_nobody_listens_there() -> None:
    with pytest.raises(SourceUnreachable, match=r"token endpoint http://127.0.0.1:1/token: "):
        fetch(OAuth("http://127.0.0.1:1/token", "a", "b"), 0)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://sso.example.com/token", "the secret would cross the network in the clear"),
        ("https://me:pass@sso.example.com/token", "holds credentials"),
        ("sso.example.com", "is no address"),
        ("file:///etc/passwd", "is no address"),
    ],
)
def test_an_address_that_would_show_the_secret_is_refused(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as told:
        check(OAuth(url, "a", "b"), "KROUTE_OAUTH_TOKEN_URL")
    assert "pass" not in str(told.value)


async def test_all_clients_of_a_process_share_one_token(endpoint: Endpoint) -> None:
    env = {
        "KROUTE_SECURITY_PROTOCOL": "SASL_SSL", "KROUTE_OAUTH_TOKEN_URL": endpoint.url, "KROUTE_OAUTH_CLIENT_ID": "c1",
        "KROUTE_OAUTH_CLIENT_SECRET": SECRET,
    }  # fmt: skip
    kafka = load(env).kafka
    assert kafka.sasl_mechanism == "OAUTHBEARER"
    assert kafka.oauth is not None
    assert kafka.tokens is tokens(kafka.oauth)
    token, ends = kafka.librdkafka()["oauth_cb"]("")
    assert token == "tok-1"
    assert ends > 1e9
    assert kafka.kafka_python()["sasl_oauth_token_provider"].token() == "tok-1"
    faust = credentials(kafka)
    assert isinstance(faust.oauth_cb, TokenProvider)
    assert await faust.oauth_cb.token() == "tok-1"
    assert faust.protocol.value == "SASL_SSL"
    assert len(endpoint.asked) == 1
    assert "tok-1" not in repr((kafka, kafka.tokens.get() if kafka.tokens else None))
