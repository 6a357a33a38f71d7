"""What workers that died left behind, held to the replay of their facts.

The reference of a run is the replay of its own facts: every alert of it was delivered and no other, repeats are the
same bytes, alerts of one incident first came in order, and the rows in the changelogs are those of the replay. What was
fed is in the facts, each record of it, save polls that were left out on purpose, and each control that the policy refuses has a
dead letter.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from kroute import engine
from kroute.contracts.topics import SIGNALS
from kroute.replay import read, replay
from kroute.stream import journal
from kroute.stream.changelog import changelog, engine_key
from kroute.stream.process import EXIT_FAILED
from kroute.stream.recording import record
from tests.kafka.crashes import Estate, Feed
from tests.kafka.helpers import Follower
from tests.kafka.thinned import left_out, wrongly


@dataclass
class Outcome:
    """What a run left: figures for people, and what is wrong with it."""

    fed: int = 0
    alerts: int = 0
    incidents: int = 0
    repeats: int = 0
    rows: int = 0
    refused: int = 0
    left_out: int = 0
    """Polls that are in no fact on purpose."""
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.fed} fed, {self.alerts} alerts, {self.incidents} incidents, {self.repeats} repeats, {self.rows} rows, {self.left_out} left out"


def settle(feed: Feed, timeout_s: float = 240) -> None:
    """Wait until all that was fed is in the facts and all facts up to there are applied."""
    estate, missing = feed.estate, feed.fed
    ends: dict[int, int] = {}
    with Follower(estate.bootstrap, estate.settings.names.full("facts")) as facts:
        read_to = 0

        def forwarded() -> bool:
            nonlocal read_to
            records = facts.records()
            for m in records[read_to:]:
                ends[m.partition() or 0] = m.offset() or 0
                missing.difference_update((f["src"], f["p"], f["o"]) for f in orjson.loads(m.value() or b"")["facts"])
            read_to = len(records)
            if estate.left_out is not None:
                missing.difference_update(left_out(estate.left_out))
            return not missing

        try:
            estate.wait(forwarded, timeout_s, "all that was fed to be in the facts")
        except AssertionError as e:
            raise AssertionError(f"{e}: {len(missing)} are not, as {sorted(missing)[:5]}") from None

    def applied() -> bool:
        reached: dict[str, float] = {}
        for w in estate.workers:
            if w.process.poll() is None:
                for labels, offset in w.metric("kroute_correlate_offset").items():
                    reached[labels] = max(offset, reached.get(labels, -1))
        return all(reached.get(f'{{partition="{p}"}}', -1) >= end for p, end in ends.items())

    estate.wait(applied, timeout_s, f"facts up to {ends} to be applied")


def compare(feed: Feed) -> Outcome:
    """Compare what stopped workers left with the replay of their facts up to the journal's positions."""
    out, estate = Outcome(fed=len(feed.fed)), feed.estate
    settings = estate.settings
    path = estate.folder / "facts.jsonl"
    with path.open("wb") as f:
        record(settings, since_ms=None, now_ms=int(time.time() * 1000), until_end=True, write=f.write, say=lambda _: None)
    recording = read(path, settings)
    heads = {m.partition(): m for m in estate.read(changelog(settings, "journal")) if _key(m) == journal.HEAD_KEY}
    done = {p: journal.decode({journal.HEAD_KEY: m.value() or b""} | _parts(estate, p)) for p, m in heads.items()}
    upto = {p: unit.offset for p, unit in done.items() if unit is not None}
    recording.facts = [f for f in recording.facts if f[1] <= upto.get(f[0], -1)]
    applied = {(f.src, f.p, f.o) for _, _, envelope in recording.facts for f in envelope.facts}
    missing = feed.fed - applied
    told_out = {} if estate.left_out is None else left_out(estate.left_out)
    facts = (f for _, _, envelope in recording.facts for f in envelope.facts)
    out.wrong += wrongly(missing, told_out, feed.about, facts, SIGNALS)
    out.left_out = len(missing)
    wanted = replay(recording, engine.build(settings), settings).alerts
    by_id = {dict(a.headers)["ce_id"]: (a.key.encode(), a.value, tuple(a.headers)) for a in wanted}
    delivered = [(m, dict(m.headers() or ())) for m in estate.read(settings.names.alerts)]
    first: dict[bytes, list[bytes]] = {}
    seen: set[bytes] = set()
    for m, headers in delivered:
        ident = _raw(headers["ce_id"])
        got = (bytes(m.key() or b""), m.value() or b"", tuple((k, _raw(v)) for k, v in headers.items()))
        if ident not in by_id:
            out.wrong.append(f"alert {ident.decode()} was delivered and is not in the replay")
        elif by_id[ident] != got:
            out.wrong.append(f"alert {ident.decode()} was delivered with another content than the replay's")
        if ident not in seen:
            first.setdefault(got[0], []).append(ident)
        seen.add(ident)
    if lost_alerts := by_id.keys() - seen:
        out.wrong.append(f"{len(lost_alerts)} alerts were never delivered, as {sorted(lost_alerts)[:3]}")
    order: dict[bytes, list[bytes]] = {}
    for ident, (key, _, _) in by_id.items():
        order.setdefault(key, []).append(ident)
    out.wrong += [f"alerts of {key.decode()} first came out of order" for key in order if order[key] != first.get(key)]
    rows, refused = _rows(recording.facts, engine.build(settings))
    told = {(d["topic"], d["partition"], d["offset"]) for d in estate.dead_letters()}
    if untold := refused - told:
        out.wrong.append(f"{len(untold)} of {len(refused)} refused controls have no dead letter, as {sorted(untold)[:3]}")
    if unfounded := told - refused:
        out.wrong.append(f"{len(unfounded)} dead letters are of no refused control, as {sorted(unfounded)[:3]}")
    out.refused = len(refused)
    stored = estate.rows()
    different = {k for k in rows.keys() | stored.keys() if rows.get(k) != stored.get(k)}
    if different:
        out.wrong.append(f"{len(different)} of {len(rows)} rows differ from the replay's, as {sorted(different)[:3]}")
    out.alerts, out.repeats, out.rows = len(by_id), len(delivered) - len(seen), len(rows)
    out.incidents = len({k for k in order if not k.startswith(b"heartbeat/")})
    return out


def _raw(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _key(message: Any) -> str:
    return engine_key(bytes(message.key() or b""))


def _parts(estate: Estate, partition: int | None) -> dict[str, bytes]:
    rows = estate.read(changelog(estate.settings, "journal"))
    return {_key(m): m.value() or b"" for m in rows if m.partition() == partition and _key(m) != journal.HEAD_KEY}


def _rows(
    facts: list[tuple[int, int, Any]], with_engine: engine.Engine
) -> tuple[dict[tuple[int, str, str], bytes], set[tuple[str, int, int]]]:
    """Rows in the end, and where the controls stand that the policy refuses."""
    states: dict[int, engine.PartitionState] = {}
    out: dict[tuple[int, str, str], bytes] = {}
    refused: set[tuple[str, int, int]] = set()
    for p, offset, envelope in facts:
        if p not in states:
            states[p] = with_engine.new_state(p)
        for (table, key), value in states[p].step(offset, envelope).rows.items():
            if value is None:
                out.pop((p, table, key), None)
            else:
                out[p, table, key] = value
        refused.update((f.fact.src, f.fact.p, f.fact.o) for f in states[p].take_forbidden())
        assert states[p].take_failures() == {}
    return out, refused


def end(feed: Feed) -> Outcome:
    """Stop the feed, let the workers finish, stop them, and compare."""
    estate = feed.estate
    feed.finish()
    settle(feed)
    for _ in range(3):
        codes = [w.stop() for w in estate.workers if w.process.poll() is None]
        assert set(codes) <= {0, EXIT_FAILED}, f"workers that were stopped ended with {codes}"
        if not any(codes):
            break
        estate.tend()  # what it did not get to be told is told by the next
        settle(feed)
    return compare(feed)
