"""A case as input records: what people state, then what a collector would send, each with its append time."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson

from kroute.admin.policy import folder, zones
from kroute.contracts.rows import Policy
from kroute.routing.policy import check
from kroute.settings import Settings
from kroute.stream.forward import Record
from kroute.testing.case import Case, ChangeSpec, ControlSpec
from kroute.testing.polls import Polls
from kroute.testing.signals import Signals
from kroute.testing.world import World, merged

BEFORE_MS = 2_000
"""Rows stand this long before the first signal."""
APPEND_MS = 20
"""From one message of a step to the next: they are read and appended one after the other."""


class Draft(NamedTuple):
    """A record before it has an offset. ``ts`` is its append time (epoch ms); ``value`` None deletes a row."""

    ts: int
    topic: str
    key: str | None
    value: bytes | None


class Unresolved(NamedTuple):
    """A control (its number in the file) about an incident whose id is only known once the case has run up to it."""

    ms: int
    number: int


def records(case: Case, settings: Settings, incidents: dict[int, str]) -> list[Record]:
    """All input records of a case in order of append time.

    ``incidents``: index of a control in the file → the incident it is about; a control whose incident is missing here is
    left out (see ``unresolved``).

    Raises:
        BadFile: a mistake in the file that shows only now.
    """
    signals = Signals(case)
    world = World(case, signals)
    drafts = [*_rows(case, world), *_changes(case, world), *_controls(case, incidents), *_messages(case, world)]
    drafts += _polled(case, world, signals)
    drafts.sort(key=lambda d: d.ts)
    counts: dict[str, int] = {}
    out: list[Record] = []
    for d in drafts:
        realm = d.topic.startswith("controls.")
        topic = settings.names.prefix + d.topic if realm else settings.names.full(d.topic)
        offset = counts.get(topic, 0)
        counts[topic] = offset + 1
        out.append(Record(topic, 0, offset, d.ts, None if d.key is None else d.key.encode(), d.value))
    return out


def unresolved(case: Case) -> list[Unresolved]:
    """Controls that name an incident, by time."""
    found = [
        Unresolved(case.ms(f".controls[{i}].at", c.at), i) for i, c in enumerate(case.spec.controls) if c.incident is not None
    ]
    return sorted(found)


# -- what people state ---------------------------------------------------------------------------------------


def _rows(case: Case, world: World) -> list[Draft]:
    start = case.start_ms - BEFORE_MS
    out = [Draft(start, "ownership", k, _row(k, row)) for k, row in world.rows.items()]
    if case.spec.policy is not None:
        out.append(Draft(start, "policy", "policy", _policy(case, ".policy", "case", case.spec.policy)))
    for i, p in enumerate(case.spec.policies):
        at = case.start_ms + case.ms(f".policies[{i}].at", p.at)
        value = _policy(case, f".policies[{i}].policy", f"case-{i + 2}", p.policy)
        out.append(Draft(at, "policy", "policy", value))
    rows = dict(world.rows)
    order = sorted(range(len(case.spec.ownership)), key=lambda i: case.ms(f".ownership[{i}].at", case.spec.ownership[i].at))
    for i in order:
        change = case.spec.ownership[i]
        at = case.start_ms + case.ms(f".ownership[{i}].at", change.at)
        for short, value in change.rows.items():
            field = f".ownership[{i}].rows.{short}"
            world.check_key(short, field)
            key = world.key(short)
            if value is None:
                rows.pop(key, None)
                out.append(Draft(at, "ownership", key, None))
                continue
            rows[key] = merged(rows.get(key, {}), world.fields(value, field))
            for k, team in world.rows_for(rows[key]).items():
                if k not in rows:
                    rows[k] = team
                    out.append(Draft(at, "ownership", k, _row(k, team)))
            out.append(Draft(at, "ownership", key, _row(key, rows[key])))
    return out


def _policy(case: Case, field: str, version: str, value: dict[str, Any] | str) -> bytes:
    """A policy that the router would refuse is a mistake in the file."""
    year = time.gmtime(case.start_ms / 1000).tm_year
    if isinstance(value, str):
        policy, _, wrong = folder.read(Path(case.place.file).parent / value).policy(version, year)
        if policy is None or wrong:
            raise case.place.bad(field, "; ".join(str(p) for p in wrong[:5]))
        return msgspec.json.encode(policy)
    calendars, unknown = zones.spell_out(value.get("calendars") or {}, year)
    if unknown:
        raise case.place.bad(field, "; ".join(f"calendars.{at}: {text}" for at, text in unknown.items()))
    whole = {"version": version, **value, **({"calendars": calendars} if calendars else {})}
    try:
        _, problems = check(msgspec.convert(whole, Policy))
    except msgspec.ValidationError as e:
        raise case.place.bad(field, str(e).replace("`", "'")) from None
    if problems:
        raise case.place.bad(field, "; ".join(problems))
    return orjson.dumps(whole)


def _row(key: str, row: dict[str, Any]) -> bytes:
    kind, cluster, name = key.split("/", 2)
    return orjson.dumps({"kind": kind, "cluster": cluster, "name": name, **row})


def _changes(case: Case, world: World) -> list[Draft]:
    return [_change(case, world.cluster, i, c) for i, c in enumerate(case.spec.changes)]


def _change(case: Case, cluster: str, index: int, c: ChangeSpec) -> Draft:
    field = f".changes[{index}]"
    kind, slash, name = c.target.partition("/")
    if not slash:
        raise case.place.bad(f"{field}.target", f"{c.target!r} is no entity; write <kind>/<name>")
    at = case.ms(f"{field}.at", c.at)
    starts = at if c.starts is None else case.ms(f"{field}.starts", c.starts)
    value: dict[str, Any] = {
        "id": c.id or f"{c.kind}-{index + 1}",
        "kind": c.kind,
        "cluster": cluster,
        "target": {"kind": kind, "name": name},
        "starts_at_ms": case.start_ms + starts,
        "ends_at_ms": None if c.ends is None else case.start_ms + case.ms(f"{field}.ends", c.ends),
        "by": c.by,
        "why": c.why,
        "rollback": c.rollback,
        "detail": c.detail,
    }
    # A change told before the case begins stands when it begins.
    return Draft(case.start_ms + at - (BEFORE_MS if at == 0 else 0), "changes", value["id"], orjson.dumps(value))


def _controls(case: Case, incidents: dict[int, str]) -> list[Draft]:
    out: list[Draft] = []
    for i, c in enumerate(case.spec.controls):
        if c.incident is None or i in incidents:
            out.append(_control(case, i, c, incidents.get(i)))
    return out


def _control(case: Case, index: int, c: ControlSpec, incident: str | None) -> Draft:
    field = f".controls[{index}]"
    ident = c.id or f"{c.kind}-{index + 1}"
    at = case.start_ms + case.ms(f"{field}.at", c.at)
    topic = f"controls.{c.realm}" if c.realm else "controls"
    key = f"{c.kind}/{ident}"
    if c.delete:
        return Draft(at, topic, key, None)
    value: dict[str, Any] = {"kind": c.kind, "id": ident, "at_ms": at, "by": c.by, "matchers": c.matchers}
    if c.until is not None:
        value["until_ms"] = case.start_ms + case.ms(f"{field}.until", c.until)
    more = {
        "why": c.why, "incident": incident, "remedy": c.remedy, "state": c.state, "verdict": c.verdict,
        "should_be": c.should_be, "cause": c.cause,
    }  # fmt: skip
    return Draft(at, topic, key, orjson.dumps({**value, **{k: v for k, v in more.items() if v is not None}}))


def _messages(case: Case, world: World) -> list[Draft]:
    out: list[Draft] = []
    for i, m in enumerate(case.spec.messages):
        field = f".messages[{i}]"
        at = case.ms(f"{field}.at", m.at)
        last = at if m.to is None else case.ms(f"{field}.to", m.to)
        for ms in range(at, last + 1, case.every_ms):
            value = m.value
            if isinstance(value, dict):
                value = {"cluster": world.cluster, "observed_at_ms": case.start_ms + ms, **value}
            out.append(Draft(case.start_ms + ms, m.topic, m.key, None if value is None else orjson.dumps(value)))
    return out


# -- what is polled ------------------------------------------------------------------------------------------


def _polled(case: Case, world: World, signals: Signals) -> list[Draft]:
    polls = Polls(world, signals)
    d = case.spec.disturb
    chance = random.Random(d.shuffle if d else 0)
    most = case.ms(".disturb.delay", d.delay) if d else 0
    late = [
        (s, case.ms(f".late[{i}].by", s.by), case.ms(f".late[{i}].at", s.at),
         case.end_ms if s.to is None else case.ms(f".late[{i}].to", s.to))
        for i, s in enumerate(case.spec.late)
    ]  # fmt: skip
    out: list[Draft] = []
    for step in range(case.steps):
        now = step * case.every_ms
        sent = polls.step(step)
        if d:
            chance.shuffle(sent)
        for i, s in enumerate(sent):
            ts = case.start_ms + now + 1 + i * APPEND_MS
            for spec, by, first, last in late:
                if first <= now <= last and _named(spec.entity, s.entity):
                    ts += by
            if most:
                ts += chance.randrange(most)
            draft = Draft(ts, s.topic, s.key, orjson.dumps(s.value))
            out.append(draft)
            if d and chance.random() < d.duplicate:
                out.append(draft._replace(ts=ts + APPEND_MS))
    return out


def _named(pattern: str, entity: str) -> bool:
    return entity.startswith(pattern[:-1]) if pattern.endswith("*") else entity == pattern
