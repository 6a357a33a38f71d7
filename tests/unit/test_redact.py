"""No secret in a log line, whoever writes it and however it is written."""

from __future__ import annotations

import logging
from base64 import b64encode
from urllib.parse import quote

import pytest

from kroute import redact

SECRET = "hünter's 2/+%\n\"end"


@pytest.fixture(autouse=True)
def known() -> None:
    redact.hide(SECRET, f"kroute:{SECRET}")


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        repr(SECRET),
        repr(b"\x00kroute\x00" + SECRET.encode()),
        f"Basic {b64encode(f'kroute:{SECRET}'.encode()).decode()}",
        f"https://x/?password={quote(SECRET, safe='')}",
    ],
)
def test_however_it_is_written(written: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("aiokafka.conn").debug("Request %d: %s", 7, written)
    assert redact.MASK in caplog.text
    assert "Request 7: " in caplog.text
    for trace in ("hünter", r"h\xfcnter", r"h\xc3\xbcnter", "2/+", "2%2F", b64encode(SECRET.encode()).decode()[:12]):
        assert trace not in caplog.text


def test_a_secret_that_is_no_text_is_hidden_too() -> None:
    redact.hide("half \ud800 of a pair")
    assert redact.clean("it is half \ud800 of a pair") == f"it is {redact.MASK}"


@pytest.mark.parametrize("frame", [b"\x00kroute\x00it's " + b"x" * 200, b'n,,\x01auth=Bearer eyJh"bG' + b"x" * 200, b"v=abc"])
def test_what_a_client_sends_to_prove_itself_is_not_shown_even_in_part(frame: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("aiokafka.conn").debug("Request %s", f"SaslAuthenticateRequest_v1(sasl_auth_bytes={frame!r}) to b1")
        logging.getLogger("aiokafka.conn").debug("Request %s", f"SaslAuthenticateRequest_v1(sasl_auth_bytes={repr(frame)[:40]}")
    assert "SaslAuthenticateRequest_v1(sasl_auth_bytes=***) to b1" in caplog.text
    for part in ("kroute", "xxx", "eyJh", "abc"):
        assert part not in caplog.text.replace("kroute/redact", "")


def test_in_a_traceback_too(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise OSError(f"cannot log in with {SECRET}")
    except OSError:
        logging.getLogger("x").exception("failed")
    assert "cannot log in with ***" in caplog.text
    assert "hünter" not in caplog.text


def test_other_lines_stay_as_they_are_and_a_bad_one_is_its_handler_s(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("x").warning("%s of %d", "three", 4)
    assert caplog.records[-1].args == ("three", 4)
    record = logging.getLogRecordFactory()("x", logging.INFO, __file__, 1, "%d", ("no number",), None)
    assert record.msg == "%d"


def test_a_short_secret_is_not_masked_and_tokens_are_forgotten_in_time() -> None:
    redact.hide("abc")
    assert redact.clean("abcdef") == "abcdef"
    for i in range(redact.KEPT + 1):
        redact.hide_token(f"token-number-{i}")
    assert redact.clean(f"token-number-{redact.KEPT}") == redact.MASK
    assert redact.clean("token-number-0") == "token-number-0"
