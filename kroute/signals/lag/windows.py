"""``LagWindows``: consumer lag of one domain, from polls to symptoms. Pure: no clock, no I/O, no randomness."""

from __future__ import annotations

import heapq
import itertools
import zlib
from statistics import median_low
from sys import intern

import msgspec
import numpy as np

from kroute.contracts.common import Entity
from kroute.contracts.inputs import BrokerMetrics, ConsumerLag, Member
from kroute.signals import rowkeys
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.lag import store
from kroute.signals.lag.cutover import Cutovers
from kroute.signals.lag.group import GROUP_KINDS, Group
from kroute.signals.lag.measures import LagMeasures
from kroute.signals.lag.ring import NEVER, Carry, Poll
from kroute.signals.lag.topic import TopicWindow
from kroute.signals.lag.unread import JUDGED as UNREAD_KINDS
from kroute.signals.lag.unread import UnreadTopics
from kroute.signals.lag.verdict import Found, Verdict
from kroute.signals.model import DEFAULT_INTERVAL_MS, Knowledge, Rows, Src, Symptom
from kroute.signals.table import LAG, judged_by

FORGET_MS = 7 * 86_400_000
"""A group not heard of for this long is forgotten (Kafka's own default for offsets of an empty group)."""
ORPHAN_MS = 3_600_000
"""A topic that no group reads any more keeps its history for this long."""
PARTS_MS = 120_000
"""Parts of a message that wait this long for their siblings are dropped."""
TOMB_MS = 120_000
UNKNOWN_LAG = frozenset({"share", "streams"})
"""Protocols whose committed offsets do not mean what a classic group's mean."""
TOPIC_KINDS = judged_by(LAG, "topic")
_DECODE = msgspec.msgpack.Decoder(ConsumerLag).decode


class LagWindows(LagMeasures):
    """Windows of all groups and topics of one domain; implements ``Measures``. Rows go to table ``consumer_lag``."""

    def __init__(self, estate: Estate, board: Board, rows: Rows, knowledge: Knowledge) -> None:
        super().__init__(estate, knowledge)
        self._board = board
        self._rows = rows
        self._readers: dict[Entity, int] = {}
        self._dead: dict[Entity, int] = {}
        self._due: list[tuple[int, str, Entity]] = []
        self._judged: dict[tuple[str, ...], frozenset[str]] = {}
        self._stored: dict[tuple[str, str, str], dict[str, bytes]] = {}
        self._clients: dict[tuple[str, str], dict[str, None]] = {}
        self.unread = UnreadTopics(rows, self._unread)
        self.cutovers = Cutovers(estate, board, knowledge, self._groups)

    # -- feeding ---------------------------------------------------------------------------------------------

    def observe(self, src: Src, m: ConsumerLag, now_ms: int) -> None:
        """One group's poll, or one part of it; judged when all parts are in."""
        e = Entity("group", m.cluster, m.group)
        t = m.observed_at_ms
        if t <= self._dead.get(e, -1):
            return
        g = self._groups.get(e)
        if not m.up:
            if g is None or t > max(g.down_ms, g.ring.polls[-1].t if g.ring.polls else 0):
                self._down(e, g, m)
            return
        if m.state == "Dead":
            self._gone(e, g, t)
            return
        if g is None:
            g = self._groups[e] = Group(e)
            heapq.heappush(self._due, (t + FORGET_MS, "group", e))
        if m.parts > 1:
            whole = self._part(g, m)
            if whole is None:
                return
            m = whole
        self._poll(g, src, m)

    def observe_metrics(self, src: Src, m: BrokerMetrics) -> None:
        """One scrape of a broker: records of topics that no group reads."""

        def wanted(e: Entity) -> bool:
            return self._known.data_age_objective_s(e.cluster, e.name) is not None

        def listed(e: Entity) -> bool:
            return self._estate.leader(e.cluster, e.name, 0) is not None  # rows may name what is no more

        told = self.unread.observe(m, self._readers.__contains__, listed, wanted, self._judge_topic)
        for e, interval_ms, out in told:
            t = m.observed_at_ms
            if e not in self._unread:
                self._board.retire(LAG, e)
                continue
            if out is None:
                self._board.report(LAG, e, t, interval_ms, frozenset())
                continue
            active = tuple(_symptom(k, e, t, f, src[:3], {"topic": e.name}) for k, f in out.found.items())
            self._board.report(LAG, e, t, interval_ms, UNREAD_KINDS, active)

    def _judge_topic(self, e: Entity, w: TopicWindow, t: int) -> Verdict:
        goal, period = self._known.data_age_objective_s(e.cluster, e.name), self._known.topic_period_s(e.cluster, e.name)
        before = self._topics.get(e, w)  # whose readers have gone is followed by its brokers' metrics
        w.head.link = self.cutovers.link_of(e) or w.head.link or before.head.link
        return w.judge(t, goal, period, left=bool(w.head.link) and self.cutovers.leaves(e, w.head.link))

    def _down(self, e: Entity, g: Group | None, m: ConsumerLag) -> None:
        interval = m.interval_ms or (g.head.interval_ms if g else 0) or DEFAULT_INTERVAL_MS
        if g is not None:
            g.down_ms = m.observed_at_ms
            self._rows.put(store.TABLE, store.group_key(e) + "d", str(g.down_ms).encode())
        self._board.report(LAG, e, m.observed_at_ms, interval, frozenset())

    def _gone(self, e: Entity, g: Group | None, t: int) -> None:
        if g is not None and g.ring.polls and g.ring.polls[-1].t > t:
            return
        self._dead[e] = t
        self._rows.put(store.TABLE, store.group_key(e) + "x", str(t).encode())
        heapq.heappush(self._due, (t + TOMB_MS, "dead", e))
        self._forget(e, g)
        self.cutovers.observe(e.cluster, t, DEFAULT_INTERVAL_MS, ("", 0, -1))

    def _forget(self, e: Entity, g: Group | None) -> None:
        self._board.forget(e)
        if g is None:
            return
        self._name_clients(g, None)
        del self._groups[e]
        store.drop_group(self._rows, g)
        self._read_by(e.cluster, g.ring.topics, [])

    def _read_by(self, cluster: str, before: list[str], after: list[str]) -> None:
        """Keep count of the groups that read a topic; one that nobody reads leaves the board at once."""
        old, new = dict.fromkeys(before), dict.fromkeys(after)
        for name in after:
            if name not in old:
                e = Entity("topic", cluster, name)
                self._readers[e] = self._readers.get(e, 0) + 1
        for name in before:
            if name not in new:
                e = Entity("topic", cluster, name)
                self._readers[e] -= 1
                if not self._readers[e]:
                    del self._readers[e]
                    self._board.forget(e)
                    heapq.heappush(self._due, (self._topics[e].history.t[-1] + ORPHAN_MS, "topic", e))

    def _part(self, g: Group, m: ConsumerLag) -> ConsumerLag | None:
        """Keep a part; the whole message once all are in."""
        t = m.observed_at_ms
        if g.ring.polls and t <= g.ring.polls[-1].t - 60_000:
            return None
        have = g.pending.setdefault(t, {})
        if not have:
            heapq.heappush(self._due, (t + PARTS_MS, "parts", g.entity))
        if m.part not in have:
            have[m.part] = msgspec.msgpack.encode(m)
            store.part_row(self._rows, g, t, m.part, have[m.part])
        if len(have) < m.parts:
            return None
        del g.pending[t]
        for part in have:
            store.drop_part(self._rows, g, t, part)
        parts = [_DECODE(have[p]) for p in sorted(have)]
        told = [p.members for p in parts if p.members is not None]
        members = tuple(x for ms in told for x in ms) if told else None
        partitions = tuple(x for p in parts for x in p.partitions)
        return msgspec.structs.replace(parts[0], members=members, partitions=partitions, part=0, parts=1)

    def _poll(self, g: Group, src: Src, m: ConsumerLag) -> None:
        t = m.observed_at_ms
        ring = g.ring
        where = ring.place(t)
        if where is None:
            return
        newest = where[0] + where[1] >= ring.n
        before = ring.topics
        sample, moved = ring.read(m, newest)
        if m.protocol in UNKNOWN_LAG:
            sample.committed[:] = NEVER
            sample.plain = False
        if newest:
            self._newest(g, m, moved, before)
        members = None if m.members is None else tuple(sorted(zlib.crc32(x.member_id.encode()) for x in m.members))
        high = ring.high
        epoch = -1 if m.group_epoch is None else m.group_epoch
        poll = Poll(t, 0, intern(m.state or ""), epoch, members, (intern(src.topic), src.partition, src.offset), Carry())
        at, touched = ring.insert(where[0], where[1], poll, sample)
        aux = moved or ring.high is not high  # a late poll too may push out one that the group has gone back from
        if newest and (sample.start.tobytes() != ring.start.tobytes() or sample.leader.tobytes() != ring.leader.tobytes()):
            ring.start, ring.leader, aux = sample.start.copy(), sample.leader, True
        if aux:
            store.aux_row(self._rows, g)
        if m.interval_ms is None or not g.head.interval_ms:
            g.head.interval_ms = m.interval_ms or self._learnt(g)
        elif newest:
            g.head.interval_ms = m.interval_ms
        self._offer(g, at)
        around = self._around(g, left=self.cutovers.left(g.entity))
        past: dict[str, tuple[Poll, Found]] = {}
        for n in range(at + 1, ring.n + 1):
            out = g.judge(n, around)
            if n < ring.n:
                past.update((k, (ring.polls[n - 1], f)) for k, f in out.found.items())
        for kind, (then, f) in past.items():
            if kind not in out.found:
                self._board.tell_late(_symptom(kind, g.entity, then.t, f, then.src, {}))
        g.fold()
        g.head.seq += 1
        written = [i for i in range(0 if moved or touched else at, ring.n) if i >= at or moved or ring.polls[i].slot in touched]
        store.poll_rows(self._rows, g, written)
        self._report(g, out)

    def _newest(self, g: Group, m: ConsumerLag, moved: bool, before: list[str]) -> None:
        g.head.protocol = m.protocol or ""
        told = m.members if m.members is not None and any(x.assignment for x in m.members) else g.members
        changed = told is not g.members and told != g.members
        if changed:
            self._name_clients(g, told)
        if moved:
            self._read_by(m.cluster, before, g.ring.topics)
        if changed or moved:
            g.assigned()
            store.meta_row(self._rows, g)
        if g.down_ms and m.observed_at_ms > g.down_ms:
            g.down_ms = 0
            self._rows.drop(store.TABLE, store.group_key(g.entity) + "d")

    def _name_clients(self, g: Group, members: tuple[Member, ...] | None) -> None:
        c, name = g.entity.cluster, g.entity.name
        for x in g.members or ():
            if x.client_id:
                self._clients.get((c, x.client_id), {}).pop(name, None)
        g.members = members
        for x in members or ():
            if x.client_id:
                self._clients.setdefault((c, x.client_id), {})[name] = None

    def group_of_client(self, cluster: str, client_id: str) -> str | None:
        """The group whose members have this client id, where that is one group."""
        groups = self._clients.get((cluster, client_id), {})
        return next(iter(groups)) if len(groups) == 1 else None

    @staticmethod
    def _learnt(g: Group) -> int:
        ts = [p.t for p in g.ring.polls]
        gaps = [b - a for a, b in itertools.pairwise(ts)]
        return max(1_000, median_low(gaps)) if len(gaps) >= 2 else DEFAULT_INTERVAL_MS

    # -- judging ---------------------------------------------------------------------------------------------

    def _offer(self, g: Group, at: int) -> None:
        """Hand the poll's log ends to the topics; judge those that got a new newest point."""
        ring = g.ring
        t, interval = ring.polls[at].t, g.head.interval_ms
        cluster = g.entity.cluster
        for topic in ring.topics:
            s = ring.slices[topic]
            e = Entity("topic", cluster, topic)
            w = self._topics.get(e)
            if w is None:
                self.unread.drop(e)
                w = self._topics[e] = TopicWindow()
            if w.has(t, interval, int(ring.ids[s.stop - 1]) + 1):
                continue
            stable = ring.stable[at, s]
            gap = ring.gap[at, s]
            ends = stable + gap if ring.gaps else stable
            if ring.holes:
                ends = np.maximum(ends, -1)
            gaps = bool(ring.gaps and np.count_nonzero(gap))
            newest = w.offer(t, interval, ring.ids[s], ends, stable, gaps)
            if newest or (w.touched and w.history.n and w.history.t[-1] >= t):
                last = w.history.t[-1]
                out = self._judge_topic(e, w, last)
                src = ring.polls[at].src
                active = tuple(_symptom(k, e, last, f, src, {"topic": topic}) for k, f in out.found.items())
                self._board.report(LAG, e, last, interval, TOPIC_KINDS, active)
            if w.touched:
                w.head.seq += 1
                store.point_rows(self._rows, e, w)

    def _report(self, g: Group, out: Verdict) -> None:
        poll = g.ring.polls[-1]
        if g.down_ms > poll.t:
            self._board.report(LAG, g.entity, g.down_ms, g.head.interval_ms, frozenset())
            return
        key = tuple(out.unjudged)
        judged = self._judged.get(key)
        if judged is None:
            judged = self._judged[key] = GROUP_KINDS - frozenset(key)
        found = [(k, self._about(g.entity, k, f) if out.active[k][1] else f) for k, f in out.found.items()]
        active = tuple(_symptom(k, g.entity, poll.t, f, poll.src, {}) for k, f in found)
        self._board.report(LAG, g.entity, poll.t, g.head.interval_ms, judged, active)
        self.cutovers.observe(g.entity.cluster, poll.t, g.head.interval_ms, poll.src)

    def _about(self, e: Entity, kind: str, found: Found) -> Found:
        """At the poll at which a symptom begins to end, what it is about has not changed."""
        was = self._board.active.get((e, kind))
        return found if was is None else found._replace(detail={**found.detail, **was.detail})

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """What happens by silence: parts that never came, groups and topics that are gone. Costs nothing when none is due."""
        due = self._due
        while due and due[0][0] <= now_ms:
            _, kind, e = heapq.heappop(due)
            if kind == "group":
                self._silent(e, now_ms)
            elif kind == "parts":
                self._drop_parts(e, now_ms)
            elif kind == "topic":
                w = self._topics.get(e)
                if w is not None and e not in self._readers and w.history.t[-1] + ORPHAN_MS <= now_ms:
                    store.drop_topic(self._rows, e, w)
                    del self._topics[e]
            elif self._dead.get(e, now_ms) + TOMB_MS <= now_ms:
                del self._dead[e]
                self._rows.drop(store.TABLE, store.group_key(e) + "x")

    def _silent(self, e: Entity, now_ms: int) -> None:
        g = self._groups.get(e)
        if g is None:
            return
        heard = max(g.down_ms, g.ring.polls[-1].t if g.ring.polls else 0, *g.pending, 0)
        if heard + FORGET_MS <= now_ms:
            self._forget(e, g)
        else:
            heapq.heappush(self._due, (heard + FORGET_MS, "group", e))

    def _drop_parts(self, e: Entity, now_ms: int) -> None:
        g = self._groups.get(e)
        if g is None:
            return
        for t in [t for t in g.pending if t + PARTS_MS <= now_ms]:
            for part in g.pending.pop(t):
                store.drop_part(self._rows, g, t, part)

    # -- rows ------------------------------------------------------------------------------------------------

    def load(self, table: str, key: str, value: bytes) -> None:
        """One row at recovery, in any order; rows of other tables are left alone."""
        if table != store.TABLE or key[:2] not in ("g|", "t|", "u|", "v|"):
            return
        kind, cluster, name, row = rowkeys.split(key)
        self._stored.setdefault((kind, cluster, name), {})[row] = value

    def loaded(self) -> None:
        """All rows are in: build what is derived from them."""
        for kind, cluster, name in sorted(self._stored):
            values = self._stored[(kind, cluster, name)]
            if kind in ("u", "v"):
                self.unread.load(kind, cluster, name, values)
                continue
            if kind == "t":
                e = Entity("topic", cluster, name)
                self._topics[e] = w = TopicWindow()
                store.load_topic(w, values)
                continue
            e = Entity("group", cluster, name)
            if "x" in values:
                self._dead[e] = int(values.pop("x"))
                heapq.heappush(self._due, (self._dead[e] + TOMB_MS, "dead", e))
            if values:
                self._groups[e] = g = Group(e)
                store.load_group(g, values)
                self._name_clients(g, g.members)
                for topic in g.ring.topics:
                    te = Entity("topic", cluster, topic)
                    self._readers[te] = self._readers.get(te, 0) + 1
                if g.ring.polls:
                    self._board.refresh(LAG, e, g.ring.polls[-1].t)
                heapq.heappush(self._due, (0, "group", e))
                for t in g.pending:
                    heapq.heappush(self._due, (t + PARTS_MS, "parts", e))
        for e, w in self._topics.items():
            self._board.refresh(LAG, e, w.history.t[-1])
            if e not in self._readers:
                heapq.heappush(self._due, (w.history.t[-1] + ORPHAN_MS, "topic", e))
        self._stored = {}


def _symptom(kind: str, e: Entity, t: int, f: tuple[int, float, str, dict[str, object]], src: tuple[str, int, int],
             more: dict[str, object]) -> Symptom:  # fmt: skip
    since, value, why, detail = f
    return Symptom(
        kind=kind, entity=e, since_ms=since, last_ms=t, value=value, why=why, topic_src=src[0], partition_src=src[1],
        offset_src=src[2], detail={**more, **detail},
    )  # fmt: skip


__all__ = ["FORGET_MS", "LagWindows"]
