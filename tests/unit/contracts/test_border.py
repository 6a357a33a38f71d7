"""The border: what is taken, what is refused and with which word. Nothing but a value or a BadMessage comes out."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kroute.contracts.codec import FUTURE_MS, MAX_DEPTH, REASONS, TYPES, decode
from kroute.contracts.schemas import json_schema
from kroute.errors import BadMessage
from tests.unit.contracts.examples import AT, EXAMPLES

INPUTS = [(t, e) for t in TYPES for e in EXAMPLES[t]]
IDS = [f"{t}-{i}" for t in TYPES for i, _ in enumerate(EXAMPLES[t])]
POLLED = ("broker-metrics", "consumer-lag", "connector-status", "topology", "access")
each_input = pytest.mark.parametrize(("topic", "example"), INPUTS, ids=IDS)
each_topic = pytest.mark.parametrize("topic", list(TYPES))


def first(topic: str) -> dict[str, Any]:
    return EXAMPLES[topic][0]


def raw(value: object) -> bytes:
    return json.dumps(value).encode()


def taken(topic: str, value: bytes) -> Any:
    """The decoded value, or None where it is refused with a known word; anything else is raised."""
    try:
        return decode(topic, value)
    except BadMessage as e:
        if e.reason not in REASONS:
            raise
        return None


def refused(topic: str, value: bytes | None, **more: Any) -> BadMessage:
    with pytest.raises(BadMessage) as e:
        decode(topic, value, **more)
    assert e.value.reason in REASONS
    assert e.value.detail
    return e.value


def holds(told: Any, example: Any) -> bool:
    """All of the example stands in what was told; defaults may stand beside it."""
    if isinstance(example, dict):
        return all(k in told and holds(told[k], v) for k, v in example.items())
    if isinstance(example, list):
        return len(told) == len(example) and all(holds(t, e) for t, e in zip(told, example, strict=True))
    return bool(told == example)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values inside a value."""
    yield at
    for k, v in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(v, (*at, k))


def put(value: Any, at: tuple[Any, ...], new: object) -> Any:
    if not at:
        return new
    out = copy.deepcopy(value)
    inner = out
    for k in at[:-1]:
        inner = inner[k]
    inner[at[-1]] = new
    return out


@each_input
def test_every_example_of_the_contract_is_taken_with_all_its_values(topic: str, example: dict[str, Any]) -> None:
    got = decode(topic, raw(example), timestamp_ms=AT)
    assert type(got) is TYPES[topic]
    assert holds(msgspec.to_builtins(got), example)


@each_input
def test_unknown_fields_are_ignored_at_every_depth(topic: str, example: dict[str, Any]) -> None:
    more = example
    for at in list(places(example)):
        inner = example
        for k in at:
            inner = inner[k]
        if isinstance(inner, dict) and not {"detail", "labels", "matchers", "metrics", "config", "schedule", "defaults"} & set(
            at
        ):
            more = put(more, (*at, "new_in_2031"), {"deep": [1, {"er": None}]})
    if topic not in ("access", "policy", "changes"):  # their free-form parts keep what they are given
        assert decode(topic, raw(more)) == decode(topic, raw(example))
    else:
        decode(topic, raw(more))


@each_topic
def test_an_unknown_word_where_words_are_listed_is_kept(topic: str) -> None:
    words = {"consumer-lag": "state", "connector-status": "state", "ownership": "kind", "changes": "kind", "controls": "kind"}
    if topic in words:
        assert getattr(decode(topic, raw({**first(topic), words[topic]: "Levitating"})), words[topic]) == "Levitating"
    elif topic == "broker-metrics":
        assert decode(topic, raw(put(first(topic), ("source", "kind"), "toaster"))).source.kind == "toaster"


@each_topic
def test_each_required_field_is_missed_by_name(topic: str) -> None:
    required = [n for n in json_schema(topic)["$defs"][TYPES[topic].__name__]["required"] if n != "v"]
    assert required
    for name in required:
        e = refused(topic, raw({k: v for k, v in first(topic).items() if k != name}))
        assert (e.reason, name in e.detail) == ("wrong-type", True)


@pytest.mark.parametrize("topic", ["consumer-lag", "connector-status"])
def test_only_a_failed_poll_may_leave_the_state_out(topic: str) -> None:
    bare = {k: v for k, v in first(topic).items() if k != "state"}
    assert "state" in refused(topic, raw(bare)).detail
    assert decode(topic, raw({**bare, "up": False})).state is None


@each_topic
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "not-json"), (b"\xff\xfe", "not-json"), (b'\xef\xbb\xbf{"v":1}', "not-json"), (b"[]", "wrong-type"),
        (b'"text"', "wrong-type"), (b"null", "wrong-type"), (b"7", "wrong-type"), (b"", "no-value"),
        (b"[" * 100_000, "wrong-type"), (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "wrong-type"),
        (b'{"v":2}', "newer-version"), (b'{"v":2,"cluster":[]}', "newer-version"), (b'{"v":1' + b"0" * 40 + b"}", "newer-version"),
        (b'{"v":0}', "wrong-type"), (b'{"v":"2"}', "wrong-type"),
    ],
)  # fmt: skip
def test_what_is_not_a_message_is_refused_with_its_word(topic: str, value: bytes, reason: str) -> None:
    assert refused(topic, value).reason == reason


@each_topic
def test_what_follows_a_message_makes_it_none(topic: str) -> None:
    assert refused(topic, raw(first(topic)) + b"x").reason == "not-json"
    assert decode(topic, b" " + raw(first(topic)) + b"\n") == decode(topic, raw(first(topic)))


@each_topic
def test_a_higher_version_is_refused_even_when_all_else_fits(topic: str) -> None:
    assert refused(topic, raw({**first(topic), "v": 2})).reason == "newer-version"
    assert decode(topic, raw({**first(topic), "v": 1})).v == 1


@each_topic
def test_a_null_value_deletes_on_compacted_topics_and_means_nothing_elsewhere(topic: str) -> None:
    if topic in ("ownership", "controls", "policy"):
        assert decode(topic, None) is None
    else:
        assert refused(topic, None).reason == "no-value"


@pytest.mark.parametrize("topic", POLLED)
def test_an_observation_over_a_minute_ahead_of_its_append_time_is_from_the_future(topic: str) -> None:
    value = raw(first(topic))
    assert refused(topic, value, timestamp_ms=AT - FUTURE_MS - 1).reason == "from-the-future"
    decode(topic, value, timestamp_ms=AT - FUTURE_MS)
    decode(topic, value, timestamp_ms=AT + 10**12)


@each_topic
def test_a_message_larger_than_asked_for_is_refused(topic: str) -> None:
    value = raw(first(topic))
    assert refused(topic, value, max_bytes=len(value) - 1).reason == "too-large"
    decode(topic, value, max_bytes=len(value))


NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "1" + "0" * 400,
    "1" + "0" * 30,
    "-1" + "0" * 30,
    str(2**63),
    "0x10",
    "1_000",
    "+1",
    ".5",
    "01",
]


@each_input
def test_no_number_that_is_none_and_none_beyond_64_bits_comes_in(topic: str, example: dict[str, Any]) -> None:
    """At every place that holds a number: ids, offsets, times, values, also in the free-form parts."""
    for at in places(example):
        inner: Any = example
        for k in at:
            inner = inner[k]
        if isinstance(inner, bool) or not isinstance(inner, int | float):
            continue
        for text in NUMBERS:
            value = json.dumps(put(example, at, "@@")).replace('"@@"', text).encode()
            got = taken(topic, value)
            if got is None:
                continue
            assert isinstance(inner, float) or _is_float(topic, at), (at, text)  # a float may be large, and stays finite
            assert all(abs(n) < float("inf") for n in _numbers(msgspec.to_builtins(got)))
            msgspec.msgpack.encode(got)


def _is_float(topic: str, at: tuple[Any, ...]) -> bool:
    floats = {"value", "put_batch_ms", "freshness_s", "hold_s"}
    return bool(at) and at[-1] in floats and topic in ("broker-metrics", "connector-status", "ownership", "policy")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list | tuple):
        for v in value.values() if isinstance(value, dict) else value:
            yield from _numbers(v)
    elif isinstance(value, int | float):
        yield float(value)


@pytest.mark.parametrize(
    ("topic", "at"), [("access", ("acls", 0, "x")), ("changes", ("detail", "x")), ("ownership", ("schedule",)), ("policy", ("calendars",)),
                      ("policy", ("automation", "x"))],
)  # fmt: skip
def test_free_form_parts_have_a_depth_that_every_encoder_takes(topic: str, at: tuple[Any, ...]) -> None:
    def nested(depth: int) -> dict[str, Any]:
        value: Any = {}
        for _ in range(depth - 1):
            value = {"a": value}
        out: dict[str, Any] = put({"calendars": {}, **first(topic)}, at, value)
        return out

    msgspec.msgpack.encode(decode(topic, raw(nested(MAX_DEPTH - len(at)))))
    e = refused(topic, raw(nested(MAX_DEPTH + 2)))
    assert (e.reason, "nested deeper than 16 - at `$." in e.detail) == ("wrong-type", True)
    assert refused(topic, raw(nested(900))).reason == "wrong-type"


@pytest.mark.parametrize("name", ["a/b", "a|b", "a\x00", "", "x" * 256])
@pytest.mark.parametrize("topic", [*POLLED, "ownership", "changes"])
def test_a_cluster_whose_name_would_break_keys_is_refused(topic: str, name: str) -> None:
    assert refused(topic, raw({**first(topic), "cluster": name})).reason == "wrong-type"


def test_an_unpaired_surrogate_is_not_text() -> None:
    assert refused("consumer-lag", raw(first("consumer-lag")).replace(b"checkout", b"\\ud800")).reason == "not-json"


def test_texts_that_alerts_repeat_are_bounded() -> None:
    for field in ("runbook", "page", "escalation"):
        assert refused("ownership", raw({**first("ownership"), field: "x" * 2049})).reason == "wrong-type"
    assert refused("ownership", raw({**first("ownership"), "owner": ""})).reason == "wrong-type"
    assert refused("ownership", raw({**first("ownership"), "slo": {"freshness_s": 0}})).reason == "wrong-type"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_change_to_an_example_is_taken_or_refused_and_the_schema_agrees(data: st.DataObject) -> None:
    topic, example = data.draw(st.sampled_from(INPUTS))
    value = example
    for _ in range(data.draw(st.integers(1, 2))):
        value = put(value, data.draw(st.sampled_from(list(places(value)))), data.draw(JSON))
    fits = jsonschema.Draft202012Validator(json_schema(topic)).is_valid(value)
    if taken(topic, raw(value)) is not None:
        assert fits, "what is taken fits the schema"
    elif fits:
        # the schema cannot say: 1.0 is an integer to it, free-form parts have no bound there, and 64 bits of a float
        assert _only_the_codec_knows(topic, value)


def _only_the_codec_knows(topic: str, value: Any) -> bool:
    whole_floats = any(isinstance(v, float) and v == int(v) for v in _leaves(value))
    return whole_floats or (
        topic in ("access", "changes", "ownership", "policy")
        and any(isinstance(v, int | float) and not -(2**63) <= v < 2**63 for v in _leaves(value))
    )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for v in value.values() if isinstance(value, dict) else value:
            yield from _leaves(v)
    else:
        yield value


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(TYPES)), st.binary(max_size=64) | JSON.map(raw))
def test_any_bytes_are_taken_or_refused(topic: str, value: bytes) -> None:
    got = taken(topic, value)
    assert got is None or type(got) is TYPES[topic]
