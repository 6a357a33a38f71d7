"""What kind of trouble a Connect task's stack trace names: a small list of words, read in order."""

from __future__ import annotations

MAX_TRACE = 2048
"""Bytes of a trace that are kept."""

KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("auth", (
        "authenticationexception", "authorizationexception", "authentication failed", "invalid credentials",
        "password authentication", "login failed", "status code 401", "http 401", "expired token", "expiredtoken",
        "access denied for user", "access denied for login",
    )),
    ("denied", (
        "access denied", "accessdenied", "permission denied", "denied on", "insufficient privilege", "insufficientprivilege",
        "not authorized", "is unauthorized for", "status code 403", "http 403", "forbidden", "security_exception",
    )),
    ("auth", ("unauthorized",)),
    ("schema", (
        "serializationexception", "dataexception", "schemaexception", "deserializ", "schema registry", "schemaregistry",
        "schema not found", "incompatible schema", "schema being registered", "avrotypeexception", "jsonparseexception",
        "unknown magic byte", "mapper_parsing_exception", "strict_dynamic_mapping_exception",
    )),
    ("config", (
        "configexception", "no such file", "filenotfoundexception", "file not found", "nosuchfileexception",
        "invalid configuration", "missing required configuration", "invalid value", "classnotfoundexception",
        "unknown topic or partition", "unknowntopicorpartition", "failed to find any class",
    )),
    ("system", (
        "connection refused", "connectexception: connection", "connection reset", "connection closed", "broken pipe",
        "timed out", "timeout", "unavailable", "unreachable", "unknownhostexception", "no route to host",
        "no available connection", "throttl", "too many requests", "too_many_requests", "status code 429", "http 429",
        "quota exceeded",
        "status code 50", "http 50", "status=50", "internal server error", "bad gateway", "es_rejected_execution",
        "slow down", "slowdown", "sqltransientconnection", "could not connect", "failed to connect", "too many connections",
        "retry time exceeded", "cluster_block_exception", "no space left", " refused", "econnrefused",
        "java.net.connectexception", "socketexception", "communications link failure", "connection attempt failed",
        "nonodeavailable", "mongosocket",
        "flood-stage", "read-only", "readonly", "disk full",
        "server selection", "host is down", "network is down", "not reachable", "recovery mode", "shutting down",
    )),
)  # fmt: skip
"""Kind → words that name it, lower case. What speaks of the connector itself comes before what speaks of the system. ``auth``:
it is not known who asks; ``denied``: whoever it is may not, which the system's owner grants."""


def classify(trace: str | None) -> str:
    """A kind of ``KINDS``, or ``other``. The innermost cause that says something counts."""
    if not trace:
        return "other"
    causes = trace.lower().split("caused by:")
    for text in reversed(causes):
        headline = text.split("\n\tat ", 1)[0]
        for kind, words in KINDS:
            if any(w in headline for w in words):
                return kind
    return "other"


def clip(trace: str) -> str:
    """The first 2 KiB, cut at a character."""
    return trace.encode()[:MAX_TRACE].decode(errors="ignore")
