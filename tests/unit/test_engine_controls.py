"""Controls that the policy does not let their realm give: refused for good, told, and the same in a replay."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import msgspec
import orjson
import pytest

from kroute.contracts.alerts import DeadLetter
from kroute.contracts.facts import Envelope
from kroute.engine import PartitionState, build
from kroute.settings import Settings
from tests.unit.stream.test_correlate import World

NOW = 1_795_427_349_000
ACK = {"kind": "ack", "id": "a1", "at_ms": NOW, "by": "the boss", "incident": "inc-1"}
SILENCE = {"kind": "silence", "id": "s1", "at_ms": NOW, "by": "x", "matchers": {"cause": "x"}, "until_ms": NOW + 3_600_000}
POLICY = {"version": "p1", "realms": {"sre": ["ack"], "": []}}
LATER = {"version": "p2", "realms": {"sre": ["ack", "silence"], "": ["silence"]}}


def fact(offset: int, topic: str, key: str, value: Any, realm: str | None = None) -> dict[str, Any]:
    src = f"kroute.{topic}" + (f".{realm}" if realm else "")
    item = {"topic": topic, "src": src, "p": 0, "o": offset, "ts": NOW + offset, "key": key, "val": value}
    return item | ({"realm": realm} if realm else {})


FACTS = [
    fact(0, "policy", "policy", POLICY),
    fact(1, "controls", "ack/a1", ACK, "sre"),
    fact(2, "controls", "silence/s1", SILENCE, "sre"),
    fact(3, "controls", "silence/s1", SILENCE),
    fact(4, "policy", "policy", LATER),
]


def envelope(facts: list[dict[str, Any]]) -> bytes:
    return orjson.dumps({"facts": facts})


def state(facts: list[dict[str, Any]]) -> PartitionState:
    out = build(Settings()).new_state(0)
    for offset, f in enumerate(facts):
        out.step(offset, msgspec.json.decode(envelope([f]), type=Envelope))
    return out


def test_a_control_that_its_realm_may_not_give_is_refused_whoever_it_says_it_is_by() -> None:
    it = state(FACTS[:4])
    assert [s.realm for s in it.controls.acks("inc-1")] == ["sre"]
    assert it.controls.silences(NOW + 10) == []
    assert [(f.kind, f.fact.o, f.why) for f in it.take_forbidden()] == [
        ("silence", 2, "policy p1 does not let realm sre give a silence"),
        ("silence", 3, "policy p1 does not let the topic without a realm give a silence"),
    ]
    assert it.take_forbidden() == [], "told once"


def test_a_later_policy_does_not_bring_to_life_what_was_refused() -> None:
    it = state(FACTS)
    assert it.policy.current.version == "p2"
    assert it.controls.silences(NOW + 10) == []
    given_again = state([*FACTS, fact(5, "controls", "silence/s1", SILENCE, "sre")])
    assert [s.realm for s in given_again.controls.silences(NOW + 10)] == ["sre"]


def test_a_right_that_is_withdrawn_ends_what_was_given_with_it() -> None:
    it = state(
        [
            fact(0, "policy", "policy", LATER),
            fact(2, "controls", "silence/s1", SILENCE, "sre"),
            fact(4, "policy", "policy", POLICY),
        ]
    )
    assert it.take_forbidden() == []
    [kept] = it.controls.silences(NOW + 10)
    assert not it.policy.current.allows(kept.realm, kept.kind), "the router asks again each time it is used"


async def test_a_refusal_is_a_dead_letter_before_the_unit_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.correlate._engine = build(Settings())
    world.by_name["controls"] = world.by_name["entities"]
    await world.correlate.recover()
    message = world.message(0)
    message.value = envelope(FACTS)
    await world.apply([message])
    await world.written()
    letters = [value for topic, value in world.log if topic == "kroute.dead-letter"]
    told = [msgspec.json.decode(v, type=DeadLetter) for v in letters]
    assert [(d.topic, d.offset, d.reason) for d in told] == [
        ("kroute.controls.sre", 2, "not-allowed"), ("kroute.controls", 3, "not-allowed"),
    ]  # fmt: skip
    assert told[0].detail == "policy p1 does not let realm sre give a silence"
    assert orjson.loads(base64.b64decode(told[0].payload_b64)) == SILENCE
    order = [topic for topic, _ in world.log]
    assert order.index("kroute.dead-letter") < order.index("journal")
    assert msgspec.json.decode(letters[0], type=DeadLetter).rejected_at_ms == NOW + 2, "the same bytes when it is repeated"


async def test_a_refusal_that_cannot_be_told_is_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.correlate._engine = build(Settings())
    await world.correlate.recover()
    world.fail_at = "kroute.dead-letter"
    message = world.message(0)
    message.value = envelope(FACTS)
    with pytest.raises(BaseException, match="could not be written"):
        await asyncio.wait_for(_both(world, message), 5)
    assert "journal" not in [topic for topic, _ in world.log]


async def _both(world: World, message: Any) -> None:
    await world.apply([message])
    await world.written()
