"""A state that any released version wrote is gone on from; one of a newer version is refused."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from kroute.contracts.common import Entity
from kroute.contracts.facts import Envelope
from kroute.diagnosis.load import shipped
from kroute.engine import Engine, PartitionState
from kroute.errors import StateError
from kroute.replay import Recording, replay
from kroute.settings import Settings
from kroute.signals.estate import Estate
from kroute.signals.model import Rows
from kroute.stream import journal
from kroute.upgrade import CLOCK, STATE_VERSION, STEPS, migrate
from tests.state.write import CUT_S, END_S, course

FOLDER = Path(__file__).parents[1] / "state"
VERSIONS = range(1, STATE_VERSION + 1)
Stored = dict[tuple[str, str], bytes]


class Fixture(NamedTuple):
    """What a version left behind in mid-incident: its rows, the offset they stand at, and the alerts so far."""

    rows: Stored
    offset: int
    alerts: list[dict[str, Any]]


def fixture(version: int) -> Fixture:
    with gzip.open(FOLDER / f"v{version}.json.gz") as f:
        body = json.load(f)
    return Fixture({(t, k): base64.b64decode(v) for t, k, v in body["rows"]}, body["offset"], body["alerts"])


def applied(rows: Stored, changes: dict[tuple[str, str], bytes | None]) -> Stored:
    return {w: v for w, v in {**rows, **changes}.items() if v is not None}


def loaded(rows: Stored) -> PartitionState:
    state = Engine(shipped()).new_state(0)
    for (table, key), value in rows.items():
        state.load(table, key, value)
    state.loaded()
    return state


def go_on(state: PartitionState, offset: int) -> list[dict[str, Any]]:
    """Alerts of the rest of the fixture's course."""
    out: list[dict[str, Any]] = []
    for envelope in course(CUT_S, END_S):
        offset += 1
        effects = state.step(offset, msgspec.json.decode(envelope, type=Envelope))
        out += [json.loads(a.value) for a in effects.alerts if not a.key.startswith("heartbeat/")]
    return out


def left_open(alerts: list[dict[str, Any]]) -> dict[str, str]:
    held: dict[str, str] = {}
    for a in alerts:
        for r in a["routes"]:
            if r["do"] == "open":
                assert r["delivery"] not in held
                held[r["delivery"]] = r["destination"]
            elif r["do"] == "close":
                assert held.pop(r["delivery"]) == r["destination"]
    return held


def test_each_version_has_its_state_kept_and_each_but_the_newest_a_step() -> None:
    assert sorted(p.name for p in FOLDER.glob("v*.json.gz")) == [f"v{v}.json.gz" for v in VERSIONS]
    assert sorted(STEPS) == list(VERSIONS)[:-1]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_state_of_each_version_is_gone_on_from_and_its_open_incident_is_closed_where_it_was_opened(version: int) -> None:
    old = fixture(version)
    assert left_open(old.alerts), "it was stored in mid-incident"
    rows = applied(old.rows, migrate(old.rows))
    assert migrate(rows) == {}, "once is enough"
    later = go_on(loaded(rows), old.offset)
    assert left_open([*old.alerts, *later]) == {}
    (incident,) = {a["incident"] for a in old.alerts}
    ends = [a for a in later if a["incident"] == incident]
    assert ends[-1]["status"] in ("resolved", "superseded")
    assert [a["revision"] for a in ends] == list(range(len(old.alerts) + 1, len(old.alerts) + 1 + len(ends)))


def test_the_newest_versions_own_state_needs_no_migration_and_says_what_a_run_without_a_stop_says() -> None:
    old = fixture(STATE_VERSION)
    assert migrate(old.rows) == {}
    whole = Engine(shipped()).new_state(0)
    rows: Stored = {}
    for offset, envelope in enumerate(course(0, CUT_S)):
        for where, value in whole.step(offset, msgspec.json.decode(envelope, type=Envelope)).rows.items():
            rows = rows if value is None else {**rows, where: value}
    went_on, came_back = go_on(whole, old.offset), go_on(loaded(old.rows), old.offset)
    assert [(a["type"], a["cause"]["id"], a["updated_at"]) for a in came_back] == [
        (a["type"], a["cause"]["id"], a["updated_at"]) for a in went_on
    ]


def test_the_state_of_version_1_is_truly_another_layout() -> None:
    """It was written by a build of before the estate's rows had times; this kroute cannot read them as they stand."""
    old = fixture(1)
    estate = Estate(Rows("prod"))
    bad = 0
    for (table, key), value in old.rows.items():
        if table == "topology" and key.split("|")[1] in ("edge", "leaders", "brokers"):
            with pytest.raises((msgspec.ValidationError, TypeError)):
                estate.load(key.partition("|")[2], value)
            bad += 1
    assert bad == 28
    with pytest.raises(StateError, match="is migrated before"):
        loaded(old.rows)


def test_what_the_estate_knew_in_version_1_it_knows_after_the_migration() -> None:
    state = loaded(applied(fixture(1).rows, migrate(fixture(1).rows)))
    estate = state.domains["prod"].estate
    nightly = Entity("group", "prod", "billing%nightly")
    assert [str(e) for e in estate.related(nightly, "topics")] == ["topic/orders"], "a name that is escaped since"
    assert estate.brokers["prod"] == {1: "alive", 2: "alive", 3: "alive"}
    assert estate.leader("prod", "payments", 2) == 3
    assert [str(e) for e in estate.related(Entity("connector", "prod", "ca/sink"), "system")] == ["system/elastic"]


def test_rows_of_version_1_that_have_the_later_layout_are_left_as_they_are() -> None:
    """Builds before the first release wrote both under version 1."""
    newest = fixture(2).rows
    clock = msgspec.msgpack.decode(newest[CLOCK])
    rows = {**newest, CLOCK: msgspec.msgpack.encode({**clock, "version": 1})}
    assert list(migrate(rows)) == [CLOCK]
    assert applied(rows, migrate(rows)) == newest


def test_a_newer_state_is_refused_with_both_versions_and_what_to_do() -> None:
    rows = fixture(STATE_VERSION).rows
    clock = msgspec.msgpack.decode(rows[CLOCK])
    rows = {**rows, CLOCK: msgspec.msgpack.encode({**clock, "version": 7})}
    for refuse in (lambda: migrate(rows), lambda: loaded(rows)):
        with pytest.raises(
            StateError, match=f"has version 7, and this kroute reads up to version {STATE_VERSION}.*KROUTE_APP_ID"
        ):
            refuse()
    head = journal.encode(5, {}, [])[-1][1]
    newer = msgspec.msgpack.encode([journal.VERSION + 1, *msgspec.msgpack.decode(head)[1:]])
    with pytest.raises(
        StateError, match=f"version {journal.VERSION + 1}, and this kroute reads version {journal.VERSION}.*Run that one"
    ):
        journal.decode({journal.HEAD_KEY: newer})


def test_where_nothing_is_stored_there_is_nothing_to_migrate() -> None:
    assert migrate({}) == {}


def test_a_recording_whose_snapshot_an_older_version_took_replays() -> None:
    old = fixture(1)

    def facts() -> Iterator[tuple[int, int, Envelope]]:
        for i, envelope in enumerate(course(CUT_S, END_S), old.offset + 1):
            yield 0, i, msgspec.json.decode(envelope, type=Envelope)

    recording = Recording(facts=list(facts()), rows=[(0, table, key, value) for (table, key), value in old.rows.items()])
    alerts = replay(recording, Engine(shipped()), Settings()).alerts
    expected = go_on(loaded(applied(old.rows, migrate(old.rows))), old.offset)
    assert [json.loads(a.value) for a in alerts if not a.key.startswith("heartbeat/")] == expected
