"""How far groups are behind and how old topics are: ``Measures`` over the lag windows, and what judging needs of it."""

from __future__ import annotations

import numpy as np

from kroute.contracts.common import Entity
from kroute.signals.estate import Estate
from kroute.signals.history import BOUNDS
from kroute.signals.lag.freshness import CLEARED, Fresh, breach_in_s
from kroute.signals.lag.group import Group, Surroundings
from kroute.signals.lag.skew import Leaders
from kroute.signals.lag.topic import TopicWindow
from kroute.signals.lag.view import MARKER, READ_UNCOMMITTED
from kroute.signals.model import Knowledge, Measure, stale_after_ms

_ISOLATION = {"read_committed": 1, "read_uncommitted": READ_UNCOMMITTED}


class LagMeasures:
    """Reads the windows that ``LagWindows`` feeds; implements ``Measures``."""

    def __init__(self, estate: Estate, knowledge: Knowledge) -> None:
        self._estate = estate
        self._known = knowledge
        self._groups: dict[Entity, Group] = {}
        self._topics: dict[Entity, TopicWindow] = {}
        self._unread: dict[Entity, TopicWindow] = {}
        """Topics that no group reads, as the brokers' scrapes tell of them."""
        self._leaders: dict[str, Leaders] = {}

    def _leaders_of(self, c: str) -> Leaders:
        """What the estate tells of who leads what in a cluster."""
        found = self._leaders.get(c)
        if found is None:
            estate = self._estate

            def rack_of(broker: int) -> str | None:
                racks = estate.related(Entity("broker", c, str(broker)), "rack")
                return racks[0].name if racks else None

            found = self._leaders[c] = Leaders(
                lambda topic, p: estate.leader(c, topic, p), lambda topic: estate.partitions.former(c, topic),
                lambda topic: estate.partitions.replicas(c, topic), rack_of,
            )  # fmt: skip
        return found

    def _around(self, g: Group, *, left: bool = False) -> Surroundings:
        _, c, name = g.entity
        known = self._known
        objectives = [(t, s) for t in g.ring.topics if (s := known.objective_s(c, name, t)) is not None and s > 0]

        def fresh(n: int) -> list[Fresh]:
            out = []
            for topic, s in objectives:
                lag = self._behind(g, n, topic)
                if lag is not None:
                    out.append(Fresh(topic, lag[1], lag[2], s))
            return out

        isolation = _ISOLATION.get(known.isolation(c, name) or "", 0)
        return Surroundings(known.schedule_period_s(c, name), isolation, self._leaders_of(c), fresh, left)

    def _behind(self, g: Group, n: int, topic: str) -> tuple[int, float, str] | None:
        """Work lag in records, seconds behind and bound of one topic as the window stood at ``n`` polls; None: unknown."""
        ring = g.ring
        s = ring.slices[topic]
        c, stable = ring.committed[n - 1, s], ring.stable[n - 1, s]
        end = stable + ring.gap[n - 1, s] if ring.gaps else stable
        counted = g.counted()
        ids = ring.ids[s]
        low = np.maximum(c, ring.start[s]) if n == ring.n else c
        top = end if ring.polls[n - 1].carry.isolation == READ_UNCOMMITTED else stable
        if ring.holes or counted is not None:
            ok = (c >= 0) & (stable >= 0)
            if counted is not None:
                ok &= counted[s]
            if not ok.any():
                return None
            c, end, ids, low, top = c[ok], end[ok], ids[ok], low[ok], top[ok]
        else:
            ok = None
        marker = end - c == MARKER
        if n >= 2 and np.count_nonzero(marker):
            before = ring.stable[n - 2, s] + ring.gap[n - 2, s]
            marker &= end == (before if ok is None else before[ok])
            low = np.where(marker, end, low)
        work = int(np.add.reduce(np.maximum(top - low, 0)))
        if not np.count_nonzero(low < end):
            return work, 0.0, BOUNDS[0]
        window = self._topics.get(Entity("topic", g.entity.cluster, topic))
        if window is None:
            return work, 0.0, BOUNDS[2]
        seconds, bound = window.history.seconds_behind(ids, low, end, ring.polls[n - 1].t)
        i = int(seconds.argmax())
        return work, float(seconds[i]), BOUNDS[int(bound[i])]

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
                state, left = ("at-risk", breach_in_s(v, f, was=True)) if worst else ("fine", None)
            out.append(Measure(topic, group.name, *lag, age, goal, "unknown" if stale else state, left))
        return tuple(out)

    def of_topic(self, topic: Entity, now_ms: int) -> Measure | None:
        """The topic's own freshness: age of its newest record against its objective."""
        w = self._unread.get(topic) or self._topics.get(topic)
        if w is None or not w.history.n:
            return None
        goal = self._known.data_age_objective_s(topic.cluster, topic.name)
        age = self._age(topic, now_ms)
        stale = now_ms - w.history.t[-1] > stale_after_ms(w.head.interval_ms)
        state = "unknown" if stale or age is None else "breached" if goal is not None and age > goal else "fine"
        return Measure(topic.name, None, None, None, None, age, goal, state)

    def _age(self, topic: Entity, now_ms: int) -> float | None:
        w = self._unread.get(topic) or self._topics.get(topic)
        if w is None or not w.history.n:
            return None
        return max(0, w.history.t[-1] - w.head.moved_ms) / 1000.0
