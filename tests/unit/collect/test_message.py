"""Large messages are split, and every part is a message of the contract."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kroute.collect.message import MAX_PART_BYTES, Own, split
from kroute.contracts.codec import decode
from kroute.contracts.inputs import ConsumerLag, Member, PartitionLag
from kroute.contracts.topics import Names


def lag(partitions: int) -> ConsumerLag:
    rows = tuple(PartitionLag(topic="payments", partition=i, end=i, committed=0) for i in range(partitions))
    member = Member(member_id="m-1", assignment=(("payments", (0, 1)),))
    return ConsumerLag(
        cluster="c",
        observed_at_ms=1,
        interval_ms=15_000,
        group="g",
        state="Stable",
        coordinator=3,
        members=(member,),
        partitions=rows,
    )


def test_a_small_message_stays_whole() -> None:
    (message,) = split("consumer-lag", "c/g", lag(3), "partitions")
    assert decode("consumer-lag", message.value) == lag(3)


def test_a_large_one_is_told_in_parts_of_one_moment_with_members_in_the_first() -> None:
    messages = split("consumer-lag", "c/g", lag(20_000), "partitions")
    values = [decode("consumer-lag", m.value) for m in messages]
    assert len(values) > 1
    assert all(len(m.value) <= MAX_PART_BYTES for m in messages)
    assert [(v.part, v.parts) for v in values] == [(i, len(values)) for i in range(len(values))]
    assert {(v.observed_at_ms, v.group, v.state, v.coordinator) for v in values} == {(1, "g", "Stable", 3)}
    assert [v.members is not None for v in values] == [True] + [False] * (len(values) - 1)
    assert tuple(p for v in values for p in v.partitions) == lag(20_000).partitions


@given(st.integers(0, 300), st.integers(6_000, 40_000))
def test_parts_put_together_are_the_whole_in_order(partitions: int, max_bytes: int) -> None:
    messages = split("consumer-lag", "c/g", lag(partitions), "partitions", max_bytes)
    assert tuple(p for m in messages for p in decode("consumer-lag", m.value).partitions) == lag(partitions).partitions


def test_what_is_kroutes_own_is_known_by_its_names_and_nothing_else_is() -> None:
    own = Own(Names(), "kroute")
    assert all(own.topic(t) for t in ("kroute.facts", "routed-alerts", "kroute-journal-changelog", "kroute-__assignor-__leader"))
    assert not any(own.topic(t) for t in ("payments", "krouter", "my.kroute.topic"))
    assert own.group("kroute")
    assert not own.group("krouter")
