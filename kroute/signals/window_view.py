"""What a rule sees of one entity: its series over all sources that are heard, their baselines, its peers."""

from __future__ import annotations

import math

from kroute.contracts.common import Entity
from kroute.signals.baseline import FREEZE_MAX_MS, Base, hour_of_week
from kroute.signals.board import Board
from kroute.signals.metric_rules import PEER_POLLS, RULES, Finding, Series
from kroute.signals.model import Src, Symptom
from kroute.signals.ring import Poll, Ring, RingStore, SourceKey

LABELLED = ("principal", "topic", "group")
"""Entities known by labels only: absent from a scrape that tells of others means nothing happened: zero."""

START_POLLS = 3
"""The first polls of a process: not all that it tells is there at once."""
FEW_SOURCES = 3
LATELY = 4
"""What a source told in these polls and does not tell now, as it starts anew, is not heard."""
DEEP = 12
"""Where many sources add up, only this many polls of each are looked at: no level rule needs more."""


class EntityView:
    """The windows of one entity at engine time ``now_ms``. Stale and failed sources are left out.

    ``first`` names source kinds in order of preference: where one of them has a feature, others are not asked.
    """

    def __init__(self, store: RingStore, board: Board, entity: Entity, now_ms: int, first: tuple[str, ...] = ()) -> None:
        self._store = store
        self._board = board
        self._first = first
        self.entity = entity
        self.now_ms = now_ms
        keys = sorted(store.sources.get(entity, ()))
        self.sources: list[tuple[SourceKey, Ring]] = [(k, store.rings[k]) for k in keys if store.rings[k].fresh(now_ms)]
        self.at_ms = max((store.rings[k].at_ms for k in keys), default=-1)
        self.interval_ms = max((r.interval_ms for _, r in self.sources), default=0)

    def series(self, name: str, add: bool) -> Series:
        all_series = [s for s in (self._of(r, name) for r in self._with(name)) if s]
        if len(all_series) <= 1:
            return all_series[0] if all_series else []
        # Sources are not polled together: newest goes with newest.
        out: Series = []
        for i in range(1, max(len(s) for s in all_series) + 1):
            there = [s[-i] for s in all_series if len(s) >= i]
            value = math.fsum(v for _, v in there) if add else max(v for _, v in there)
            out.append((max(at for at, _ in there), value))
        return out[::-1]

    def heads(self, name: str) -> Series:
        return [s[-1] for r in self._with(name) if (s := self._of(r, name))]

    def newest(self, name: str) -> float | None:
        values = [v for _, r in self.sources if r.newest is not None and (v := self._value(r.newest, name)) is not None]
        return math.fsum(values) if values else None

    def depth(self, name: str) -> int:
        return min((len(self._of(r, name)) for r in self._with(name)), default=0)

    def base(self, name: str, add: bool, hourly: bool) -> Base | None:
        found: list[Base] = []
        for ring in self._with(name):
            if name.startswith("total:"):
                base = _of_source(ring, f"principal:{name[6:]}") or Base()
            else:
                base = ring.base.get(self.entity, {}).get(name, Base())
                if not base.enough and self.entity.kind in LABELLED:
                    base = self._usually_absent(ring, name, base)
            if hourly:
                own = ring.hours.get(hour_of_week(ring.at_ms), {}).get(self.entity, {}).get(name, Base())
                base = own if own.enough else base
            if not base.enough:
                return None
            found.append(base)
        if not found:
            return None
        if not add:
            return max(found, key=lambda b: b.median + b.sigma)
        return Base(min(b.n for b in found), math.fsum(b.median for b in found), math.sqrt(math.fsum(b.mad**2 for b in found)))

    def former(self, name: str) -> float:
        telling = [id(r) for r in self._with(name)]
        rings = (r for r in self._store.rings.values() if r.fresh(self.now_ms) and id(r) not in telling)
        bases = (r.base.get(self.entity, {}).get(name) for r in rings)
        return max((b.median for b in bases if b is not None and b.enough), default=0.0)

    def _usually_absent(self, ring: Ring, name: str, own: Base) -> Base:
        """Of a signal that was long told of others and never of this one the usual is zero."""
        if own.n and own.n >= sum(1 for p in ring.polls if name in p.values.get(self.entity, {})):
            return own  # it was told before, and then not: it comes in bursts
        told = _of_source(ring, f"{self.entity.kind}:{name}")
        return Base(told.n, 0.0, 0.0) if told is not None else own

    def peers(self, name: str) -> list[float]:
        out = []
        for key in sorted(self._store.rings):
            if key[:2] != ("broker", self.entity.cluster):
                continue
            ring = self._store.rings[key]
            other = Entity("broker", key[1], key[-1])
            if other != self.entity and ring.fresh(self.now_ms) and ring.newest is not None:
                value = ring.newest.values.get(other, {}).get(name)
                if value is not None:
                    out.append(value)
        return out

    def peers_since(self, name: str, add: bool, since_ms: int) -> list[Series]:
        out: list[Series] = []
        for other in sorted(e for e in self._store.sources if e.kind == "rack" and e.cluster == self.entity.cluster):
            series = [] if other == self.entity else EntityView(self._store, self._board, other, self.now_ms).series(name, add)
            if series:
                out.append([(at, v) for at, v in series if at > since_ms][-PEER_POLLS:])
        return out

    def unheard(self, name: str) -> bool:
        heard = dict(self.sources)
        for key in self._store.sources.get(self.entity, ()):
            *before, newest = self._store.rings[key].polls[-LATELY:]
            tells = self._value(newest, name) is not None
            if key not in heard:
                if tells:
                    return True
            elif not tells and any(self._value(p, name) is not None for p in before):
                return True
        return False

    def start_ms(self, name: str) -> int | None:
        rings = self._with(name)
        if not rings or any(r.seq > len(r.polls) for r in rings):
            return None
        return max(r.polls[min(START_POLLS, len(r.polls)) - 1].at_ms for r in rings)

    def symptom(self, kind: str) -> Symptom | None:
        return self._board.of(self.entity).get(kind)

    def _with(self, name: str) -> list[Ring]:
        """Rings whose newest poll has the feature, of the preferred kind where there is one."""
        found = [(k, r) for k, r in self.sources if r.newest is not None and self._value(r.newest, name) is not None]
        for kind in self._first:
            preferred = [r for k, r in found if k[0] == kind]
            if preferred:
                return preferred
        return [r for _, r in found]

    def _of(self, ring: Ring, name: str) -> Series:
        polls = ring.polls if len(self.sources) <= FEW_SOURCES else ring.polls[-DEEP:]
        return [(p.at_ms, v) for p in polls if (v := self._value(p, name)) is not None]

    def _value(self, poll: Poll, name: str) -> float | None:
        if name.startswith("total:"):
            name = name[6:]
            return poll.totals.get(name if name == "principals" else f"principal:{name}")
        of = poll.values.get(self.entity)
        value = None if of is None else of.get(name)
        if value is None and self.entity.kind in LABELLED:
            # A topic whose failures were told, and of which a scrape tells requests but none that failed, fails no more.
            name = "produce_requests" if name == "produce_errors" and self.symptom("produce-retries") is not None else name
            return 0.0 if f"{self.entity.kind}:{name}" in poll.totals else None
        return value


def _of_source(ring: Ring, name: str) -> Base | None:
    """What is usual of a total over all that the ring's one source speaks of."""
    return next((bases.get(name) for e, bases in ring.base.items() if e.kind == "source"), None)


def symptom_of(kind: str, entity: Entity, finding: Finding, at_ms: int, src: Src) -> Symptom:
    """A finding as the board takes it."""
    return Symptom(
        kind=kind,
        entity=entity,
        since_ms=finding.since_ms,
        last_ms=at_ms,
        value=finding.value,
        why=finding.why,
        topic_src=src.topic,
        partition_src=src.partition,
        offset_src=src.offset,
        detail=dict(finding.detail),
    )


_FEATURES = {r.kind: [f.name for f in r.features] for rules in RULES.values() for r in rules}


def frozen(board: Board, entity: Entity, at_ms: int) -> frozenset[str] | None:
    """While a symptom of the entity holds its baselines still: the features it is about. Others whose usual is not known yet
    may be learnt, and so may what was always so. None where nothing holds them."""
    holding = [s for s in board.of(entity).values() if at_ms - s.since_ms <= FREEZE_MAX_MS]
    if not holding:
        return None
    about = [s for s in holding if not s.detail.get("from_start")]
    told = {str(s.detail["feature"]) for s in about if "feature" in s.detail}
    return frozenset(told.union(*(_FEATURES.get(s.kind, ()) for s in about)))
