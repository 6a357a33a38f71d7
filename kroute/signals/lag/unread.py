"""Topics that no group reads: their records are counted from the brokers' scrapes. Rules L20 and L23.

A topic that is read is judged by its log ends, which the polls of its groups bring. Of any other, ``messages_in_rate``
with label ``topic`` (else ``bytes_in_rate``) tells what came since the scrape before. A topic that a scrape no longer
names had no records only if others are named and the topology still lists it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from kroute.contracts.common import Entity
from kroute.contracts.inputs import BrokerMetrics
from kroute.signals import rowkeys
from kroute.signals.lag import store
from kroute.signals.lag.topic import TopicWindow
from kroute.signals.lag.verdict import Verdict
from kroute.signals.model import DEFAULT_INTERVAL_MS, Rows, stale_after_ms

JUDGED = frozenset({"produce-stopped", "data-stale"})
MOST_TOPICS = 500
"""Unread topics per cluster that are followed; those with an objective for their data's age always are."""
RECORD_BYTES = 10_000.0
"""Where only bytes are told, records are taken for this large: large, so that silence is not overrated."""
LEAST = 0.05
"""Less than this share of a record since the scrape before is the tail of an average, not a record."""
OUT_MS = 3_600_000
"""A broker that brought records and is not heard leaves silence unjudged for this long; then it is taken to be gone."""
FORGET_MS = 7 * 86_400_000
_COLUMN = np.zeros(1, np.int64)


class Scraped(msgspec.Struct, array_like=True):
    """What one broker's scrapes told so far: records per topic since it was first heard; ``took_ms`` to the newest scrape."""

    at_ms: int
    took_ms: int
    interval_ms: int
    records: dict[str, int]


_DECODE = msgspec.msgpack.Decoder(Scraped).decode
Judge = Callable[[Entity, TopicWindow, int], Verdict]
Is = Callable[[Entity], bool]


class UnreadTopics:
    """Windows of unread topics, in ``windows`` (shared with the measures). Rows: ``u|…`` and, per broker, ``v|…``."""

    def __init__(self, rows: Rows, windows: dict[Entity, TopicWindow]) -> None:
        self._rows = rows
        self.windows = windows
        self._scraped: dict[str, dict[str, Scraped]] = {}

    def observe(
        self, m: BrokerMetrics, read: Is, listed: Is, wanted: Is, judge: Judge
    ) -> list[tuple[Entity, int, Verdict | None]]:
        """Take one scrape; what it says of each unread topic that got a point, or is gone: (topic, interval in ms, verdict),
        None where that is not known. ``read``: by some group; ``listed``: in the topology; ``wanted``: to be followed anyway."""
        if m.source.kind != "broker" or not m.up:
            return []
        rates = _rates(m)
        if not rates:
            return []
        c, t = m.cluster, m.observed_at_ms
        sources = self._scraped.setdefault(c, {})
        s = sources.get(m.source.id)
        if s is None:
            s = sources[m.source.id] = Scraped(t, 0, m.interval_ms or DEFAULT_INTERVAL_MS, {})
        elif t < s.at_ms or (t == s.at_ms and m.parts == 1):
            return []
        elif t > s.at_ms:
            s.interval_ms = m.interval_ms or t - s.at_ms
            s.took_ms, s.at_ms = min(t - s.at_ms, stale_after_ms(s.interval_ms)), t
        known = sum(1 for e in self.windows if e.cluster == c)
        out: list[tuple[Entity, int, Verdict | None]] = []
        for name in sorted(rates.keys() | s.records.keys()):
            e = Entity("topic", c, name)
            if read(e):
                self.drop(e)
                continue
            if name not in rates and (m.parts > 1 or not listed(e)):
                if m.parts == 1 and e in self.windows:
                    self.drop(e)
                    out.append((e, s.interval_ms, None))
                continue
            if e not in self.windows:
                if known >= MOST_TOPICS and not wanted(e):
                    continue
                known += 1
            came = rates.get(name, 0.0) * s.took_ms / 1000.0
            s.records[name] = s.records.get(name, 0) + (max(1, round(came)) if came >= LEAST else 0)
            if self._offer(e, t, s.interval_ms):
                out.append((e, s.interval_ms, self._judge(e, t, judge)))
        self._rows.put(store.TABLE, _row(c, m.source.id), msgspec.msgpack.encode(s))
        for gone in [k for k, x in sources.items() if x.at_ms + FORGET_MS < t]:
            del sources[gone]
            self._rows.drop(store.TABLE, _row(c, gone))
        return out

    def _offer(self, e: Entity, t: int, interval_ms: int) -> bool:
        w = self.windows.get(e)
        if w is None:
            w = self.windows[e] = TopicWindow()
        total = np.array([sum(x.records.get(e.name, 0) for x in self._scraped[e.cluster].values())], np.int64)
        return w.offer(t, interval_ms, _COLUMN, total, total, False)

    def _judge(self, e: Entity, t: int, judge: Judge) -> Verdict | None:
        w = self.windows[e]
        out = judge(e, w, w.history.t[-1])
        w.head.seq += 1
        store.point_rows(self._rows, e, w, "u")
        told = [x for x in self._scraped[e.cluster].values() if x.records.get(e.name) and x.at_ms + OUT_MS > t]
        return out if all(t - x.at_ms <= stale_after_ms(x.interval_ms) for x in told) else None

    def drop(self, e: Entity) -> None:
        """The topic is read now, or is gone."""
        w = self.windows.pop(e, None)
        if w is None:
            return
        store.drop_topic(self._rows, e, w, "u")
        for source, x in sorted(self._scraped.get(e.cluster, {}).items()):
            if x.records.pop(e.name, None) is not None:
                self._rows.put(store.TABLE, _row(e.cluster, source), msgspec.msgpack.encode(x))

    def load(self, kind: str, cluster: str, name: str, values: dict[str, bytes]) -> None:
        """Rows of one topic (``u``) or of one broker (``v``) at recovery."""
        if kind == "v":
            self._scraped.setdefault(cluster, {})[name] = _DECODE(values["s"])
        else:
            self.windows[Entity("topic", cluster, name)] = w = TopicWindow()
            store.load_topic(w, values)


def _row(cluster: str, broker: str) -> str:
    return rowkeys.join("v", cluster, broker) + "|s"


def _rates(m: BrokerMetrics) -> dict[str, float]:
    """Records per second of each topic that the scrape names."""
    records: dict[str, float] = {}
    sized: dict[str, float] = {}
    for s in m.samples:
        topic = s.labels.get("topic") if s.labels else None
        if topic and s.labels and not any(k in s.labels for k in ("user", "client_id", "principal")):
            if s.signal == "messages_in_rate":
                records[topic] = records.get(topic, 0.0) + s.value
            elif s.signal == "bytes_in_rate":
                sized[topic] = sized.get(topic, 0.0) + s.value / RECORD_BYTES
    return {**sized, **records}
