"""Keeps secrets out of log lines and messages, whoever writes them: each secret that is read is made known here.

Kafka clients log whole requests at debug level, an authentication request among them. Filters on single loggers would
miss the next library, so the record itself is cleaned where it is made: any handler, any formatter, tracebacks too.
"""

from __future__ import annotations

import logging
import re
import traceback
from base64 import b64encode
from collections import deque
from threading import Lock
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4
"""Shorter ones are not masked: replacing every ``a`` would spoil every line, and hide nothing."""

KEPT = 8
"""Tokens that are masked at a time: they come anew for as long as a process runs, and the old ones have ended."""

_FIELD = "sasl_auth_bytes="
_SENT = re.compile(rf"({_FIELD})b(?:'(?:[^'\\]|\\.)*'?|\"(?:[^\"\\]|\\.)*\"?)")

_lasting: dict[str, None] = {}
_passing: deque[tuple[str, ...]] = deque(maxlen=KEPT)
_known: tuple[str, ...] = ()
_lock = Lock()
_installed = False


def hide(secret: str, *others: str) -> None:
    """From now on mask this secret in log records and in ``clean``, and the ways it is written: escaped, quoted.

    ``others``: what the secret is part of, encoded as a whole (``user:password`` of HTTP's basic authentication).
    """
    with _lock:
        _lasting.update(dict.fromkeys(w for text in (secret, *others) for w in _writings(text)))
        _renew()


def hide_token(token: str) -> None:
    """The same for a secret that ends by itself; the last eight are masked."""
    with _lock:
        _passing.append(_writings(token))
        _renew()


def clean(text: str) -> str:
    """The text without any secret that is known, and without what a Kafka client sent to prove itself."""
    if _FIELD in text:  # aiokafka logs the beginning of it, which is the beginning of a long secret
        text = _SENT.sub(rf"\1{MASK}", text)
    for secret in _known:
        if secret in text:
            text = text.replace(secret, MASK)
    return text


def _writings(text: str) -> tuple[str, ...]:
    if len(text) < SHORTEST:
        return ()
    data = text.encode("utf-8", "surrogatepass")
    ways = {text, quote(data, safe=""), quote_plus(data), repr(text)[1:-1], repr(data)[2:-1], b64encode(data).decode()}
    return tuple(sorted(ways))


def _renew() -> None:
    global _known  # noqa: PLW0603  (a process has one log)
    found = {*_lasting, *(w for ways in _passing for w in ways)}
    # Longest first: a secret within a secret must not leave the rest standing.
    _known = tuple(sorted(found, key=lambda s: (-len(s), s)))
    _install()


def _install() -> None:
    global _installed  # noqa: PLW0603
    if _installed:
        return
    _installed = True
    make = logging.getLogRecordFactory()

    def cleaned(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            said = record.getMessage()
        except Exception:  # a line that cannot be formatted is its handler's to tell
            said = str(record.msg)
        safe = clean(said)
        if safe != said:
            record.msg, record.args = safe, ()
        if record.exc_info and record.exc_info[0] is not None:
            trace = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            safe = clean(trace)
            if safe != trace:
                record.exc_text, record.exc_info = safe, None
        return record

    logging.setLogRecordFactory(cleaned)
