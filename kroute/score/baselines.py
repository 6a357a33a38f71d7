"""What teams have today, on the same recordings: static thresholds, routed in three ways.

(a) ``by metric``: one page per metric and instance, to whoever owns metrics of that family. (b) ``by cluster``: alerts of a
cluster are one group (Alertmanager's ``group_by: [cluster]``), paged to the cluster's owner. (c) ``by topic``: likewise by
topic, to the topic's owner; alerts without a topic go as in (b). Fault and page are matched by the rules that hold for
kroute's own incidents (``assign``): a page near no fault is false.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from kroute.contracts.common import Entity
from kroute.score.assign import TAIL_MS, Scope, scope
from kroute.score.recorded import Recorded
from kroute.score.thresholds import TUNINGS, Alarm, Tuning, alarms
from kroute.score.truth import Fault

NOBODY = "nobody"


class Page(NamedTuple):
    """One page: when (epoch ms), to whom, about what."""

    ts_ms: int
    team: str
    entity: Entity


class Pages(Struct):
    """What one way of routing did; sums over recordings add up.

    ``first_right``: faults whose first page went to the action owner. ``paged``: faults with a page at all.
    """

    faults: int = 0
    paged: int = 0
    first_right: int = 0
    pages: int = 0
    pages_right: int = 0
    false_pages: int = 0

    def add(self, other: Pages) -> None:
        """Add another recording's sums."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def merit(self) -> float:
        """What tuning seeks: faults whose first page is right, less the false pages, per fault."""
        return (self.first_right - self.false_pages) / max(1, self.faults)


Baseline = Callable[[Sequence[Alarm], Recorded], list[Page]]


def by_metric(fired: Sequence[Alarm], known: Recorded) -> list[Page]:
    """(a) Every alert pages the owner of its metric family."""
    return [Page(a.fired_ms, _owner_of_family(a, known), a.entity) for a in fired]


def by_cluster(fired: Sequence[Alarm], known: Recorded) -> list[Page]:
    """(b) The first alert of a group pages the cluster's owner; what fires while the group does joins it."""
    return [Page(a.fired_ms, _platform(a, known), a.entity) for a in _heads(fired, lambda a: a.entity.cluster)]


def by_topic(fired: Sequence[Alarm], known: Recorded) -> list[Page]:
    """(c) The first alert of a group pages the topic's owner."""
    heads = _heads(fired, lambda a: f"{a.entity.cluster}/{a.topic or ''}")
    return [Page(a.fired_ms, _topic(a, known) if a.topic else _platform(a, known), a.entity) for a in heads]


BASELINES: dict[str, Baseline] = {"by metric": by_metric, "by cluster": by_cluster, "by topic": by_topic}


def run(known: Recorded, faults: Sequence[Fault]) -> dict[str, tuple[Pages, ...]]:
    """Every baseline at every tuning (in the order of ``TUNINGS``) on one recording."""
    out: dict[str, list[Pages]] = {name: [] for name in BASELINES}
    for tuning in TUNINGS:
        fired = alarms(known.messages, tuning)
        for name, route in BASELINES.items():
            out[name].append(judge(route(fired, known), faults))
    return {name: tuple(v) for name, v in out.items()}


def judge(pages: Sequence[Page], faults: Sequence[Fault]) -> Pages:
    """Pages in order of time against the faults."""
    scopes = [scope(f) for f in faults]
    out = Pages(faults=len(faults))
    first: dict[int, str] = {}
    for p in sorted(pages):
        n = _fault_of(p, scopes)
        if n is None:
            out.false_pages += 1
            continue
        out.pages += 1
        out.pages_right += p.team == faults[n].owners.action
        first.setdefault(n, p.team)
    out.paged = len(first)
    out.first_right = sum(team == faults[n].owners.action for n, team in first.items())
    return out


def best(sums: Sequence[Pages]) -> tuple[Tuning, Pages]:
    """The tuning of most merit over a whole corpus; as good: the first. It has seen the corpus: the baseline's best case."""
    n = max(range(len(sums)), key=lambda i: (sums[i].merit, -i))
    return TUNINGS[n], sums[n]


def _fault_of(p: Page, scopes: Sequence[Scope]) -> int | None:
    near = [s.near(p.entity) if s.from_ms <= p.ts_ms <= s.to_ms + TAIL_MS else 0 for s in scopes]
    return near.index(max(near)) if max(near, default=0) else None


def _heads(fired: Sequence[Alarm], key: Callable[[Alarm], str]) -> list[Alarm]:
    """The alerts that open a group: nothing else of it is firing then."""
    until: dict[str, int] = {}
    out: list[Alarm] = []
    for a in fired:
        k = key(a)
        if a.fired_ms > until.get(k, -1):
            out.append(a)
        until[k] = max(until.get(k, -1), a.ended_ms)
    return out


def _owner_of_family(a: Alarm, known: Recorded) -> str:
    own = known.ownership
    e = a.entity
    if a.family == "group":
        service = own.service_of(e, known.connectors.get(e, ()))
        for kind, name in (("service", service), ("group", e.name)):
            m = own.resolve(kind, e.cluster, name) if name else None
            if m is not None and m.row.owner:
                return m.row.owner
    elif a.family == "connector":
        m = own.resolve("connector", e.cluster, e.name)
        if m is not None and m.row.owner:
            return m.row.owner
    return _platform(a, known)


def _platform(a: Alarm, known: Recorded) -> str:
    m = known.ownership.resolve("cluster", a.entity.cluster, a.entity.cluster)
    return m.row.owner if m is not None and m.row.owner else NOBODY


def _topic(a: Alarm, known: Recorded) -> str:
    m = known.ownership.resolve("topic", a.entity.cluster, a.topic or "")
    return m.row.owner if m is not None and m.row.owner else _platform(a, known)
