"""Who sees what a process serves."""

from __future__ import annotations

import ssl
from base64 import b64encode
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web

from kroute.collect.monitor import Monitor
from kroute.errors import ConfigError
from kroute.settings import WebAccess, load
from kroute.stream.web import Web
from kroute.web import application, check_bind, is_loopback, may, serve

BASIC = WebAccess(username="ops", password="pass:word ü")
BEARER = WebAccess(bearer="tok-en")
BOTH = WebAccess(username="ops", password="pass:word ü", bearer="tok-en")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("", False), ("10.0.0.3", False), ("kroute.internal", False), ("127.0.0.1.example.com", False)],
)  # fmt: skip
def test_only_loopback_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.3"])
def test_beyond_loopback_nothing_is_served_without_authentication(host: str) -> None:
    with pytest.raises(ConfigError, match=r"KROUTE_WEB_HOST is .* no authentication is set: give KROUTE_WEB_USERNAME"):
        check_bind(host, WebAccess())
    for access in (BASIC, BEARER, WebAccess(open=True)):
        check_bind(host, access)


async def test_the_server_itself_refuses_too() -> None:
    with pytest.raises(ConfigError, match="no authentication"):
        await serve(application(WebAccess()), "0.0.0.0", 0, WebAccess())


def header(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("access", "given", "allowed"),
    [
        (BASIC, header("ops", "pass:word ü"), True),
        (BASIC, header("ops", "pass:word"), False),
        (BASIC, header("op", "s:pass:word ü"), False),
        (BASIC, header("", ""), False),
        (BASIC, "Basic ???", False),
        (BASIC, "Basic", False),
        (BASIC, None, False),
        (BASIC, "Bearer pass:word ü", False),
        (BASIC, "Bearer None", False),
        (BEARER, "Bearer tok-en", True),
        (BEARER, "bearer  tok-en ", True),
        (BEARER, "Bearer tok-e", False),
        (BEARER, "Bearer ", False),
        (BEARER, header("None", "None"), False),
        (BOTH, "Bearer tok-en", True),
        (BOTH, header("ops", "pass:word ü"), True),
        (BOTH, header("ops", "tok-en"), False),
    ],
)
def test_a_header_proves_it_or_not(access: WebAccess, given: str | None, allowed: bool) -> None:
    assert may(access, given) is allowed


async def get(url: str, given: str | None = None, tls: ssl.SSLContext | bool = True) -> tuple[int, str, str]:
    headers = {} if given is None else {"Authorization": given}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=tls) as answer:
        return answer.status, await answer.text(), answer.headers.get("WWW-Authenticate", "")


async def started(access: WebAccess, why: str | None = None) -> tuple[Web, str]:
    it = Web("127.0.0.1", 0, access, lambda: why)
    await it.on_start()
    assert it._runner is not None
    return it, f"127.0.0.1:{it._runner.addresses[0][1]}"


async def test_metrics_are_for_who_proves_it_and_probes_get_one_word() -> None:
    it, at = await started(BOTH, "recovering tables")
    try:
        assert await get(f"http://{at}/metrics") == (401, "who are you?\n", 'Basic realm="kroute", Bearer realm="kroute"')
        assert (await get(f"http://{at}/metrics", "Bearer wrong"))[0] == 401
        assert (await get(f"http://{at}/no-such-page"))[0] == 401, "not even which pages there are"
        status, text, _ = await get(f"http://{at}/metrics", "Bearer tok-en")
        assert status == 200
        assert "kroute_" in text
        assert (await get(f"http://{at}/health"))[:2] == (200, "live\n")
        assert (await get(f"http://{at}/ready"))[:2] == (503, "not ready\n")
        assert (await get(f"http://{at}/ready", "Bearer tok-en"))[:2] == (503, "recovering tables\n")
    finally:
        await it.on_stop()


async def test_on_loopback_without_authentication_all_is_told() -> None:
    it, at = await started(WebAccess(), "recovering tables")
    try:
        assert (await get(f"http://{at}/metrics"))[0] == 200
        assert (await get(f"http://{at}/ready"))[:2] == (503, "recovering tables\n")
    finally:
        await it.on_stop()


async def test_the_collector_s_metrics_are_kept_the_same_way_and_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(b"".join(p.bytes() for p in made.cert_chain_pems))
    made.private_key_pem.write_to_path(str(key))
    access = WebAccess(bearer="tok-en", certfile=str(cert), keyfile=str(key))
    runner = await Monitor().serve("127.0.0.1", 0, access)
    try:
        at = f"https://127.0.0.1:{runner.addresses[0][1]}/metrics"
        context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        assert (await get(at, tls=context))[0] == 401
        assert (await get(at, "Bearer tok-en", context))[0] == 200
    finally:
        await runner.cleanup()
    bad = WebAccess(bearer="tok-en", certfile=str(key), keyfile=str(cert))
    with pytest.raises(ConfigError, match="hold no certificate and key in PEM"):
        await serve(web.Application(), "127.0.0.1", 0, bad)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"KROUTE_WEB_PASSWORD": "x"}, "KROUTE_WEB_USERNAME is missing"),
        ({"KROUTE_WEB_USERNAME": "x"}, "KROUTE_WEB_PASSWORD is missing"),
        ({"KROUTE_WEB_USERNAME": "a:b", "KROUTE_WEB_PASSWORD": "x"}, "KROUTE_WEB_USERNAME is empty or has a colon"),
        ({"KROUTE_WEB_BEARER": ""}, "KROUTE_WEB_BEARER is empty"),
        ({"KROUTE_WEB_OPEN": "1"}, "KROUTE_WEB_OPEN is '1'; it must be one of no, yes"),
        ({"KROUTE_WEB_CERTFILE": "/no/such"}, "KROUTE_WEB_CERTFILE names /no/such, which cannot be read"),
    ],
)
def test_settings_that_do_not_fit_are_told(env: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("/", "/")):
        load(env)
