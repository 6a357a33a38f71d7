"""``LagWindows``: consumer lag of one domain, from polls to symptoms. Pure: no clock, no I/O, no randomness."""

from __future__ import annotations

import heapq
import itertools
import zlib
from statistics import median_low

import msgspec
import numpy as np

from kroute.contracts.common import Entity
from kroute.contracts.inputs import ConsumerLag
from kroute.signals import rowkeys
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.history import BOUNDS
from kroute.signals.lag import store
from kroute.signals.lag.freshness import CLEARED, Fresh, breach_in_s
from kroute.signals.lag.group import GROUP_KINDS, Group, Surroundings
from kroute.signals.lag.ring import NEVER, Carry, Poll
from kroute.signals.lag.topic import TopicWindow
from kroute.signals.lag.verdict import Verdict
from kroute.signals.lag.view import MARKER
from kroute.signals.model import DEFAULT_INTERVAL_MS, Knowledge, Measure, Rows, Src, Symptom, stale_after_ms
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
_ISOLATION = {"read_committed": 1, "read_uncommitted": 2}
_DECODE = msgspec.msgpack.Decoder(ConsumerLag).decode


class LagWindows:
    """Windows of all groups and topics of one domain; implements ``Measures``. Rows go to table ``consumer_lag``."""

    def __init__(self, estate: Estate, board: Board, rows: Rows, knowledge: Knowledge) -> None:
        self._estate = estate
        self._board = board
        self._rows = rows
        self._known = knowledge
        self._groups: dict[Entity, Group] = {}
        self._topics: dict[Entity, TopicWindow] = {}
        self._readers: dict[Entity, int] = {}
        self._dead: dict[Entity, int] = {}
        self._due: list[tuple[int, str, Entity]] = []
        self._judged: dict[tuple[str, ...], frozenset[str]] = {}
        self._stored: dict[tuple[str, str, str], dict[str, bytes]] = {}

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

    def _forget(self, e: Entity, g: Group | None) -> None:
        self._board.forget(e)
        if g is None:
            return
        del self._groups[e]
        store.drop_group(self._rows, g)
        t = g.ring.polls[-1].t if g.ring.polls else 0
        self._read_by(e.cluster, g.ring.topics, [], t)

    def _read_by(self, cluster: str, before: list[str], after: list[str], t: int) -> None:
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
                    heapq.heappush(self._due, (t + ORPHAN_MS, "topic", e))

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
        if newest:
            self._newest(g, m, moved, before)
        members = None if m.members is None else tuple(sorted(zlib.crc32(x.member_id.encode()) for x in m.members))
        high = ring.high
        poll = Poll(t, 0, m.state or "", -1 if m.group_epoch is None else m.group_epoch, members, src[:3], Carry())
        at, touched = ring.insert(where[0], where[1], poll, sample)
        if newest:
            aux = moved or ring.high is not high
            if not np.array_equal(sample.start, ring.start) or not np.array_equal(sample.leader, ring.leader):
                ring.start, ring.leader, aux = sample.start, sample.leader, True
            if aux:
                store.aux_row(self._rows, g)
        if m.interval_ms is None or not g.head.interval_ms:
            g.head.interval_ms = m.interval_ms or self._learnt(g)
        elif newest:
            g.head.interval_ms = m.interval_ms
        self._offer(g, at)
        around = self._around(g)
        for n in range(at + 1, ring.n + 1):
            out = g.judge(n, around)
        g.fold()
        g.head.seq += 1
        written = [i for i in range(ring.n) if i >= at or moved or ring.polls[i].slot in touched]
        store.poll_rows(self._rows, g, written)
        self._report(g, out)

    def _newest(self, g: Group, m: ConsumerLag, moved: bool, before: list[str]) -> None:
        g.head.protocol = m.protocol or ""
        told = m.members if m.members is not None and any(x.assignment for x in m.members) else g.members
        changed = told is not g.members and told != g.members
        if changed:
            g.members = told
        if moved:
            self._read_by(m.cluster, before, g.ring.topics, m.observed_at_ms)
        if changed or moved:
            g.assigned()
            store.meta_row(self._rows, g)
        if g.down_ms and m.observed_at_ms > g.down_ms:
            g.down_ms = 0
            self._rows.drop(store.TABLE, store.group_key(g.entity) + "d")

    @staticmethod
    def _learnt(g: Group) -> int:
        ts = [p.t for p in g.ring.polls]
        gaps = [b - a for a, b in itertools.pairwise(ts)]
        return max(1_000, median_low(gaps)) if len(gaps) >= 2 else DEFAULT_INTERVAL_MS

    # -- judging ---------------------------------------------------------------------------------------------

    def _around(self, g: Group) -> Surroundings:
        c, name = g.entity.cluster, g.entity.name
        stated = self._known.isolation(c, name)
        objectives = [(t, s) for t in g.ring.topics if (s := self._known.objective_s(c, name, t)) is not None and s > 0]
        estate = self._estate

        def rack_of(broker: int) -> str | None:
            racks = estate.related(Entity("broker", c, str(broker)), "rack")
            return racks[0].name if racks else None

        def fresh(n: int) -> list[Fresh]:
            out = []
            for topic, s in objectives:
                lag = self._behind(g, n, topic)
                if lag is not None:
                    out.append(Fresh(topic, lag[1], lag[2], s))
            return out

        return Surroundings(
            self._known.schedule_period_s(c, name), _ISOLATION.get(stated or "", 0),
            lambda topic, p: estate.leader(c, topic, p), rack_of, fresh,
        )  # fmt: skip

    def _behind(self, g: Group, n: int, topic: str) -> tuple[int, float, str] | None:
        """Work lag in records, seconds behind and bound of one topic as the window stood at ``n`` polls; None: unknown."""
        ring = g.ring
        s = ring.slices[topic]
        c, stable = ring.committed[n - 1, s], ring.stable[n - 1, s]
        ok = (c >= 0) & (stable >= 0) if ring.holes else np.ones(len(c), np.bool_)
        counted = g.counted()
        if counted is not None:
            ok &= counted[s]
        if not ok.any():
            return None
        end = stable + ring.gap[n - 1, s]
        top = end if g.ring.polls[n - 1].carry.isolation == 2 else stable
        k = max(0, n - 2)
        marker = (end - c <= MARKER) & (stable + ring.gap[n - 1, s] == ring.stable[k, s] + ring.gap[k, s]) & (n >= 2)
        low = np.maximum(c, ring.start[s]) if n == ring.n else c
        work = int(np.maximum(top - low, 0)[ok & ~marker].sum())
        late = ok & ~marker & (low < end)
        if not late.any():
            return work, 0.0, BOUNDS[0]
        window = self._topics.get(Entity("topic", g.entity.cluster, topic))
        if window is None:
            return work, 0.0, BOUNDS[2]
        ids = ring.ids[s][late]
        seconds, bound = window.history.seconds_behind(ids, low[late], end[late], ring.polls[n - 1].t)
        i = int(seconds.argmax())
        return work, float(seconds[i]), BOUNDS[int(bound[i])]

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
                w = self._topics[e] = TopicWindow()
            stable = ring.stable[at, s]
            gap = ring.gap[at, s]
            ends = np.maximum(stable + gap, -1) if ring.holes else stable + gap
            gaps = bool(ring.gaps and np.count_nonzero(gap))
            newest = w.offer(t, interval, ring.ids[s], ends, stable, gaps)
            if newest or (w.touched and w.history.n and w.history.t[-1] >= t):
                last = w.history.t[-1]
                out = w.judge(last, self._known.data_age_objective_s(cluster, topic))
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
        active = tuple(_symptom(k, g.entity, poll.t, f, poll.src, {}) for k, f in out.found.items()) if out.found else ()
        self._board.report(LAG, g.entity, poll.t, g.head.interval_ms, judged, active)

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

    # -- measures --------------------------------------------------------------------------------------------

    def of_group(self, group: Entity, now_ms: int) -> tuple[Measure, ...]:
        """One measure per topic the group reads, sorted by topic; ``unknown`` where lag is not known or not fresh."""
        g = self._groups.get(group)
        if g is None or not g.ring.polls:
            return ()
        last = max(g.ring.polls[-1].t, g.down_ms)
        stale = g.down_ms >= g.ring.polls[-1].t or now_ms - last > stale_after_ms(g.head.interval_ms)
        active = g.ring.polls[-1].carry.active
        counted = g.counted()
        around = self._around(g)
        v = g.view(g.ring.n, around)
        out = []
        for topic in g.ring.topics:
            if counted is not None and not counted[g.ring.slices[topic]].any():
                continue
            goal = self._known.objective_s(group.cluster, group.name, topic)
            age = self._age(Entity("topic", group.cluster, topic), now_ms)
            lag = self._behind(g, g.ring.n, topic)
            if lag is None:
                out.append(Measure(topic, group.name, None, None, None, age, goal, "unknown"))
                continue
            state, left = "fine", None
            if goal and lag[1] >= (CLEARED if "objective-breached" in active else 1.0) * goal:
                state = "breached"
            elif goal and "objective-at-risk" in active and v is not None:
                f = Fresh(topic, lag[1], lag[2], goal)
                worst = abs(f.ratio - g.ring.polls[-1].carry.ratio) < 1e-9
                state, left = ("at-risk", breach_in_s(v, f)) if worst else ("fine", None)
            out.append(Measure(topic, group.name, *lag, age, goal, "unknown" if stale else state, left))
        return tuple(out)

    def of_topic(self, topic: Entity, now_ms: int) -> Measure | None:
        """The topic's own freshness: age of its newest record against its objective."""
        w = self._topics.get(topic)
        if w is None or not w.history.n:
            return None
        goal = self._known.data_age_objective_s(topic.cluster, topic.name)
        age = self._age(topic, now_ms)
        stale = now_ms - w.history.t[-1] > stale_after_ms(w.head.interval_ms)
        state = "unknown" if stale or age is None else "breached" if goal is not None and age > goal else "fine"
        return Measure(topic.name, None, None, None, None, age, goal, state)

    def _age(self, topic: Entity, now_ms: int) -> float | None:
        w = self._topics.get(topic)
        if w is None or not w.history.n:
            return None
        return max(0, w.history.t[-1] - w.head.moved_ms) / 1000.0

    # -- rows ------------------------------------------------------------------------------------------------

    def load(self, table: str, key: str, value: bytes) -> None:
        """One row at recovery, in any order; rows of other tables are left alone."""
        if table != store.TABLE or key[:2] not in ("g|", "t|"):
            return
        kind, cluster, name, row = rowkeys.split(key)
        self._stored.setdefault((kind, cluster, name), {})[row] = value

    def loaded(self) -> None:
        """All rows are in: build what is derived from them."""
        for kind, cluster, name in sorted(self._stored):
            values = self._stored[(kind, cluster, name)]
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
                for topic in g.ring.topics:
                    te = Entity("topic", cluster, topic)
                    self._readers[te] = self._readers.get(te, 0) + 1
                heapq.heappush(self._due, (0, "group", e))
                for t in g.pending:
                    heapq.heappush(self._due, (t + PARTS_MS, "parts", e))
        for e, w in self._topics.items():
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
