"""What ingest decides about one record."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kroute.contracts.codec import decode
from kroute.contracts.facts import Envelope, Fact
from kroute.errors import BadMessage
from kroute.settings import Settings
from kroute.stream import forward as forward_module
from kroute.stream.budget import Budget, peek, poll_of
from kroute.stream.forward import (
    LEFT_OUT,
    MAX_ENVELOPE,
    MAX_ITEM,
    MAX_ITEMS,
    PAYLOAD_BYTES,
    Addressed,
    Forwarder,
    Record,
    dead_letter,
    envelopes,
    progress,
)

NOW = 1_795_427_349_001
SETTINGS = Settings(domains={"dr-eu": "prod-eu"})


def record(topic: str, value: Any, key: str | bytes | None = None, ts: int = NOW) -> Record:
    raw = value if value is None or isinstance(value, bytes) else orjson.dumps(value)
    return Record(f"kroute.{topic}", 2, 17, ts, key.encode() if isinstance(key, str) else key, raw)


def forward(r: Record, settings: Settings = SETTINGS) -> Addressed:
    out = Forwarder(settings).forward(r)
    assert out is not None
    return out


def fact(r: Record) -> Fact:
    return msgspec.json.decode(forward(r).fact, type=Fact)


def lag(**more: Any) -> dict[str, Any]:
    return {"cluster": "prod-eu", "observed_at_ms": NOW, "group": "checkout", "state": "Stable", "partitions": [], **more}


def row(kind: str = "topic", cluster: str = "prod-eu", name: str = "payments") -> tuple[dict[str, Any], str]:
    return {"kind": kind, "cluster": cluster, "name": name}, f"{kind}/{cluster}/{name}"


def test_a_signal_goes_to_its_clusters_domain_with_its_value_as_it_came() -> None:
    raw = b' {"cluster" : "prod-eu",\n "observed_at_ms":1795427349001,"group":"g","state":"Stable","extra":1.50}'
    out = forward(record("consumer-lag", raw))
    assert out.domain == "prod-eu"
    assert raw in out.fact
    f = msgspec.json.decode(out.fact, type=Fact)
    assert (f.topic, f.src, f.p, f.o, f.ts, f.d, f.key) == ("consumer-lag", "kroute.consumer-lag", 2, 17, NOW, "prod-eu", None)


def test_clusters_that_are_mapped_share_a_domain() -> None:
    assert forward(record("consumer-lag", lag(cluster="dr-eu"))).domain == "prod-eu"
    assert forward(record("consumer-lag", lag(cluster="other"))).domain == "other"


@pytest.mark.parametrize(
    ("kind", "cluster", "domain"),
    [
        ("topic", "dr-eu", "prod-eu"),
        ("topic", "*", None),
        ("topic", "prod-*", None),
        ("team", "prod-eu", None),
        ("service", "a", "a"),
    ],
)
def test_an_ownership_row_goes_to_its_clusters_domain_and_to_all_where_it_is_for_many(
    kind: str, cluster: str, domain: str | None
) -> None:
    value, key = row(kind, cluster)
    assert forward(record("ownership", value, key)).domain == domain
    assert forward(record("ownership", None, key)).domain == domain


def test_a_deleted_row_is_a_null_fact_with_its_key() -> None:
    f = fact(record("ownership", None, "connector/prod-eu/connect-a/orders"))
    assert (bytes(f.val), f.key, f.d) == (b"null", "connector/prod-eu/connect-a/orders", "prod-eu")


def test_policy_and_controls_go_to_all_and_a_control_carries_the_realm_of_its_topic() -> None:
    assert forward(record("policy", {"version": "abc"}, "policy")).domain is None
    control = record("controls.sre", {"kind": "ack", "id": "7", "at_ms": NOW, "by": "me"}, "ack/7")
    assert forward(control).domain is None
    assert (fact(control).topic, fact(control).realm) == ("controls", "sre")
    assert fact(control._replace(topic="kroute.controls")).realm is None


def test_a_change_goes_to_its_cluster_and_its_key_is_free() -> None:
    value = {"id": "d", "kind": "deploy", "cluster": "dr-eu", "target": {"kind": "group", "name": "g"}, "starts_at_ms": NOW}
    assert forward(record("changes", value, b"\xff")).domain == "prod-eu"
    assert fact(record("changes", value, b"\xff")).key is None
    assert forward(record("changes", {**value, "cluster": "*"})).domain is None


@pytest.mark.parametrize(
    ("topic", "value", "key"),
    [
        ("ownership", row()[0], "topic/prod-eu/other"),
        ("ownership", row()[0], None),
        ("ownership", row()[0], b"\xff"),
        ("ownership", row()[0], "k" * 5000),
        ("ownership", None, "topic/prod-eu"),
        ("ownership", None, "topic//payments"),
        ("policy", {"version": "abc"}, "policies"),
        ("controls", {"kind": "ack", "id": "7", "at_ms": NOW, "by": "me"}, "ack/8"),
        ("controls", None, "ack"),
    ],
)
def test_a_compacted_row_under_another_key_is_refused(topic: str, value: Any, key: str | bytes | None) -> None:
    with pytest.raises(BadMessage) as e:
        Forwarder(SETTINGS).forward(record(topic, value, key))
    assert e.value.reason == "bad-key"


def test_a_fact_that_would_not_fit_a_producer_request_is_refused() -> None:
    with pytest.raises(BadMessage) as e:
        Forwarder(SETTINGS).forward(record("consumer-lag", orjson.dumps(lag()) + b" " * MAX_ITEM))
    assert e.value.reason == "too-large"
    nearly = orjson.dumps(lag())
    with pytest.raises(BadMessage) as e:
        Forwarder(SETTINGS).forward(record("consumer-lag", nearly + b" " * (MAX_ITEM - len(nearly))))
    assert e.value.reason == "too-large"


def test_what_is_about_kroute_itself_never_passes() -> None:
    own = Forwarder(replace(SETTINGS, app_id="watcher"))
    assert own.forward(record("consumer-lag", lag(group="watcher"))) is None
    assert own.forward(record("consumer-lag", lag(group="kroute.notifier"))) is None
    partitions = [{"topic": t, "partition": 0, "end": 1} for t in ("kroute.facts", "payments", "watcher-journal-changelog")]
    out = own.forward(record("consumer-lag", lag(partitions=partitions)))
    assert out is not None
    assert [p["topic"] for p in orjson.loads(out.fact)["val"]["partitions"]] == ["payments"]
    samples = [{"signal": "bytes_in_rate", "value": 1, "labels": {"topic": t}} for t in ("kroute.facts", "payments")]
    metrics = {"cluster": "c", "observed_at_ms": NOW, "source": {"kind": "broker", "id": "1"}, "samples": samples}
    out = own.forward(record("broker-metrics", metrics))
    assert out is not None
    assert [s["labels"]["topic"] for s in orjson.loads(out.fact)["val"]["samples"]] == ["payments"]
    topology = {"cluster": "c", "observed_at_ms": NOW, "topics": [{"name": "kroute.facts"}, {"name": "a"}]}
    out = own.forward(record("topology", topology))
    assert out is not None
    assert [t["name"] for t in orjson.loads(out.fact)["val"]["topics"]] == ["a"]


@given(st.lists(st.integers(40, 200_000), max_size=40), st.integers(0, 1200))
def test_envelopes_hold_all_facts_in_order_within_the_limits(sizes: list[int], small: int) -> None:
    facts = [progress("s" * (size - 39), 0, i, 0, 1) for i, size in enumerate(sizes)] + [
        progress("s", 0, i, 0, 1) for i in range(small)
    ]
    out = list(envelopes(facts))
    decoded = [msgspec.json.decode(e, type=Envelope) for e in out]
    assert [msgspec.json.encode(f) for e in decoded for f in e.facts] == [
        msgspec.json.encode(msgspec.json.decode(f, type=Fact)) for f in facts
    ]
    for raw, envelope in zip(out, decoded, strict=True):
        assert 0 < len(envelope.facts) <= MAX_ITEMS
        assert len(raw) <= MAX_ENVELOPE or len(envelope.facts) == 1


def test_a_dead_letter_tells_where_why_and_the_first_64_kib() -> None:
    value = bytes(range(256)) * 1000
    letter = orjson.loads(dead_letter(record("topology", value, b"\x00k"), BadMessage("not-json", "here"), 5))
    assert (letter["topic"], letter["partition"], letter["offset"], letter["timestamp_ms"]) == ("kroute.topology", 2, 17, NOW)
    assert (letter["reason"], letter["detail"], letter["size"], letter["rejected_at_ms"]) == ("not-json", "here", 256_000, 5)
    assert letter["sha256"] == hashlib.sha256(value).hexdigest()
    assert base64.b64decode(letter["payload_b64"]) == value[:PAYLOAD_BYTES]
    assert base64.b64decode(letter["key_b64"]) == b"\x00k"


def test_a_bad_policy_is_a_dead_letter_and_a_good_one_goes_on() -> None:
    def policy(**fields: object) -> Record:
        return Record("kroute.policy", 0, 1, 1, b"policy", orjson.dumps({"version": "9b1c", **fields}))

    with pytest.raises(BadMessage) as e:
        Forwarder(Settings()).forward(policy(routes=[{"name": "a"}], defaults={"hold_s": -1}))
    assert e.value.reason == "bad-policy"
    assert e.value.detail.startswith(
        "version 9b1c: defaults: hold_s is -1.0; it must be a number from 0 on; routes[0]: says nothing"
    )
    assert Forwarder(Settings()).forward(policy(routes=[{"name": "a", "page": "action"}])) is not None
    deleted = Record("kroute.policy", 0, 1, 1, b"policy", None)
    assert Forwarder(Settings()).forward(deleted) is not None


def test_a_poll_beyond_the_budget_is_left_out_and_one_that_gets_through_says_how_often_it_comes() -> None:
    forwarder = Forwarder(Settings(), Budget(1))
    at = 1_800_000_000_000

    def send(ts: int) -> Any:
        value = {"cluster": "c", "observed_at_ms": ts, "interval_ms": 1000, "group": "g", "state": "Stable"}
        return forwarder.forward(Record("kroute.consumer-lag", 0, 0, ts, None, orjson.dumps(value)))

    first = send(at)
    assert orjson.loads(first.fact)["val"]["interval_ms"] == 30_000
    assert send(at + 20_000) is LEFT_OUT
    assert orjson.loads(send(at + 40_000).fact)["val"]["interval_ms"] == 30_000
    row = Record("kroute.ownership", 0, 0, at, b"team/*/t", orjson.dumps({"kind": "team", "cluster": "*", "name": "t"}))
    for _ in range(5):
        state = forwarder.forward(row)
        assert state is not None
        assert state.fact, "what people state is never thinned"


def test_whose_poll_a_record_is_is_told_alike_before_and_after_it_is_decoded() -> None:
    polled: dict[str, Any] = {"cluster": "c", "observed_at_ms": NOW, "interval_ms": 5000}
    signals: dict[str, dict[str, Any]] = {
        "consumer-lag": {"group": "g", "state": "Stable", "part": 2, "parts": 3},
        "connector-status": {"connect": "ca", "connector": "x", "state": "RUNNING"},
        "broker-metrics": {"source": {"kind": "broker", "id": "3"}},
    }
    for short, more in signals.items():
        value = orjson.dumps({**polled, **more})
        assert peek(short, value) == poll_of(decode(short, value))
    worker = orjson.dumps({**polled, "source": {"kind": "connect-worker", "id": "w:1", "connect": "ca"}})
    assert peek("broker-metrics", worker) == poll_of(decode("broker-metrics", worker))
    assert peek("topology", orjson.dumps(polled)) is None, "one a cluster: not worth it"
    for bad in (b"", b"[]", b'{"cluster":7}', b'{"cluster":"c","observed_at_ms":1}', b"\xff", b"[" * 100_000):
        assert peek("consumer-lag", bad) is None


def test_most_of_a_flood_is_left_out_without_being_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(1000)
    forwarder = Forwarder(Settings(), budget)
    decoded = 0

    def counting(*args: Any, **more: Any) -> Any:
        nonlocal decoded
        decoded += 1
        return decode(*args, **more)

    monkeypatch.setattr(forward_module, "decode", counting)
    value = {"cluster": "c", "group": "g", "state": "Stable", "partitions": []}
    kept = 0
    for ts in range(NOW, NOW + 60_000, 20):
        r = record("consumer-lag", {**value, "observed_at_ms": ts}, ts=ts)
        kept += forwarder.forward(r) is not LEFT_OUT
    ((_, told),) = budget.floods(NOW + 60_000)
    assert told.left_out == 3000 - kept, "each is counted all the same"
    assert kept < 40
    assert decoded < 400
