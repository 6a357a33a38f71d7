"""Arrival does not matter: what comes twice, again, or in another order ends in the same incidents.

What is promised of the engine, and shown here for the timeline cases and for estates of ``kroute simulate``:

- a record that is forwarded again (same partition, offset, time) changes no byte of what is said, nor does a restart;
- a signal that was produced twice changes no incident: cause, root, impact, members;
- nor does any order of what is appended within the same second (partitions are read side by side);
- signals that come up to two polls late, in any order, end in the same cause, root and impact, and in the same members of
  those that lasted: a symptom that was over before it was told may be missed, and times shift by as much as the signals did.
"""

from __future__ import annotations

import os
import random
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kroute.contracts.alerts import Alert
from kroute.contracts.facts import PROGRESS, Envelope, Fact
from kroute.engine import Engine, build
from kroute.replay import Outcome, _intake
from kroute.simulate.estate import Size
from kroute.simulate.run import Scenario, encoded, simulate
from kroute.stream.forward import Forwarder, Record
from kroute.testing.case import read_case
from kroute.testing.records import records
from kroute.testing.restart import Restarting
from kroute.testing.run import settings_for_cases
from tests.unit.equivalence.arrivals import LATENESS_MS, Told, arranged, doubled, late, ran, shuffled, told

CASES = Path(__file__).parents[2] / "cases"
SETTINGS = settings_for_cases()
NAMES = ("stopped-consumer-has-no-members", "system-throttled-two-sinks", "broker-down", "hung-transaction")
SIMULATED = (("broker-saturation", 51),)
LASTING_S = 150
FEW = settings(
    max_examples=int(os.environ.get("KROUTE_EXAMPLES", "3")), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)  # fmt: skip
SEEDS = st.integers(0, 2**32)


class Story(NamedTuple):
    """Input records in order, and until when time goes on."""

    records: list[Record]
    until_ms: int


@cache
def engine() -> Engine:
    return build(SETTINGS)


@cache
def story(name: str) -> Story:
    """A timeline case, or a simulated estate with one fault."""
    seed = dict(SIMULATED).get(name)
    if seed is None:
        case = read_case(CASES / f"{name}.yaml")
        return Story(records(case, SETTINGS, {}), case.start_ms + case.end_ms)
    out = []
    for line in encoded(simulate(Scenario(name, seed, Size(3, 6), "kafka", (name,), (), 27.0, 30.0)).lines):
        d = orjson.loads(line)
        value = None if d["value"] is None else orjson.dumps(d["value"])
        out.append(Record(d["topic"], 0, 0, d["timestamp_ms"], d["key"].encode(), value))
    return Story(arranged(out), out[-1].ts)


@cache
def plainly(name: str) -> list[Told]:
    return told(story(name).records, engine(), SETTINGS, story(name).until_ms)


def arrived(name: str, sent: list[Record]) -> list[Told]:
    return told(sent, engine(), SETTINGS, story(name).until_ms)


def what(incidents: list[Told]) -> list[tuple[str, str, tuple[str, ...]]]:
    return sorted((t.cause, t.root, t.impact) for t in incidents)


ALL = (*NAMES, *(n for n, _ in SIMULATED))


@pytest.mark.parametrize("name", ALL)
def test_each_story_has_an_incident(name: str) -> None:
    assert plainly(name), "a story in which nothing is told shows nothing"


@FEW
@given(st.sampled_from(ALL), SEEDS)
def test_signals_that_were_produced_twice_change_no_incident(name: str, seed: int) -> None:
    again = arrived(name, doubled(story(name).records, SETTINGS, seed))
    assert [(*t[:4], sorted(t.members)) for t in again] == [(*t[:4], sorted(t.members)) for t in plainly(name)]


@FEW
@given(st.sampled_from(ALL), SEEDS)
def test_the_order_within_a_second_changes_no_incident(name: str, seed: int) -> None:
    again = arrived(name, shuffled(story(name).records, SETTINGS, seed))
    assert what(again) == what(plainly(name))
    _same_members(plainly(name), again)


@FEW
@given(st.sampled_from(ALL), SEEDS, st.sampled_from([0.1, 0.5, 1.0]))
def test_signals_that_come_late_in_any_order_end_in_the_same_incidents(name: str, seed: int, share: float) -> None:
    again = arrived(name, late(story(name).records, SETTINGS, seed, LATENESS_MS, share))
    assert what(again) == what(plainly(name))
    _same_members(plainly(name), again)


def _same_members(before: list[Told], after: list[Told]) -> None:
    for a, b in zip(sorted(before, key=lambda t: t[:2]), sorted(after, key=lambda t: t[:2]), strict=True):
        assert [m for m in a.lasting(LASTING_S) if m not in b.members] == [], "what lasted is a member whenever it came"
        assert [m for m in b.lasting(LASTING_S) if m not in a.members] == [], "and nothing else that lasts is"


# -- what is forwarded or applied again ----------------------------------------------------------------------


@cache
def log(name: str) -> list[Envelope]:
    """The facts of a story as ingest would have sent them."""
    decode = msgspec.json.Decoder(Envelope).decode
    return [decode(e) for e in _intake(story(name).records, Forwarder(SETTINGS), Outcome(), story(name).until_ms)]


def steps(envelopes: list[Envelope]) -> list[Alert]:
    state = engine().new_state(0)
    return [a for offset, e in enumerate(envelopes) for a in state.step(offset, e).alerts]


@FEW
@given(st.sampled_from(ALL), SEEDS)
def test_a_suffix_of_the_input_that_is_forwarded_again_changes_no_byte(name: str, seed: int) -> None:
    """Ingest forwards again what it had not committed: the same facts, in their order, once or several times."""
    rng = random.Random(seed)
    once, sent, disturbed = log(name), [], []
    for e in once:
        sent += [f for f in e.facts if f.topic != PROGRESS]
        again: list[Fact] = []
        while rng.random() < 0.05:
            again += sent[-rng.randrange(1, 60) :]
        disturbed.append(Envelope(facts=(*e.facts[:-1], *again, *e.facts[-1:])))
    assert steps(disturbed) == steps(once)


@FEW
@given(st.sampled_from(ALL), SEEDS)
def test_a_suffix_of_the_log_that_is_applied_again_says_nothing_and_changes_nothing(name: str, seed: int) -> None:
    rng = random.Random(seed)
    state = engine().new_state(0)
    said: list[Alert] = []
    envelopes = log(name)
    for offset, e in enumerate(envelopes):
        said += state.step(offset, e).alerts
        if rng.random() < 0.02:
            for back in range(max(0, offset - rng.randrange(40)), offset + 1):
                assert state.step(back, envelopes[back]).alerts == []
    assert said == steps(envelopes)


@FEW
@given(st.sampled_from(ALL), SEEDS)
def test_a_restart_at_any_time_changes_no_byte(name: str, seed: int) -> None:
    """The rows tell all: what one worker began, another goes on with."""
    rng, (sent, until) = random.Random(seed), story(name)
    at = [rng.randrange(sent[0].ts, until) for _ in range(6)]
    assert ran(sent, Restarting(engine(), at), SETTINGS, until) == ran(sent, engine(), SETTINGS, until)


def test_what_comes_again_is_known_even_after_the_brokers_clock_went_back() -> None:
    state = engine().new_state(0)
    facts = [Fact(topic="nothing", src="kroute.x", p=0, o=o, ts=ts) for o, ts in ((0, 5_000), (1, 9_000), (2, 7_000))]
    state.step(0, Envelope(facts=tuple(facts)))
    refused = state.refused
    state.step(1, Envelope(facts=tuple(facts)))
    assert (state.skipped, state.refused) == (3, refused)
    state.step(2, Envelope(facts=(Fact(topic="nothing", src="kroute.x", p=0, o=0, ts=9_500),)))
    assert state.refused == refused + 1, "a topic that was made again begins at 0, later"


def test_after_a_restart_what_was_observed_is_as_fresh_as_it_was() -> None:
    """A report that is unchanged is not stored again: its time comes back from the windows of whoever gave it."""
    state, rows = engine().new_state(0), dict[tuple[str, str], bytes | None]()
    for offset, e in enumerate(log("broker-down")[:300]):
        rows.update(state.step(offset, e).rows)
    other = engine().new_state(0)
    for (table, key), value in rows.items():
        if value is not None:
            other.load(table, key, value)
    other.loaded()
    (a,), (b,) = state.domains.values(), other.domains.values()
    assert len(a.board._reports) > 10
    assert b.board._reports == a.board._reports
