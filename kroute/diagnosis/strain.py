"""What a cause explains beyond what its file lists: an estate under strain shows stray symptoms more often.

Leaks are not independent. While a broker, a rack, a network or an outside system is in trouble, whatever hangs on it
shows symptoms that no list foresees, and each of them is far likelier an effect than a second fault of the same hour.

D10 a cause that earns its keep by what it lists covers other symptoms at the ends of its ``strains`` (D6 holds for them
    too) where they are of the sort that load and waiting pass on (``PASSED_ON``), the surer the more of their like at
    the end of the path show it; that never buys the cause, and a cause of its own, told by what is not passed on, still
    beats it; what a change of its own that was declared accounts for is no stray; where from somebody reads is a stray of
    load only with who reads what it burdens
D11 when what defines a cause is over, what its backlog makes from then on of the brokers it is read from, of who reads it
    and of probes is its aftermath
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import fsum

from kroute.contracts.common import Entity
from kroute.diagnosis.candidate import OLDER_MS, Candidate, still, timely
from kroute.diagnosis.evidence import FAMILY, Evidence, Unit
from kroute.diagnosis.led import HELD_UP, TELLS, WAITS, burdened, coordinated, stalled_by, strained_part, through
from kroute.diagnosis.paths import Walker
from kroute.signals.model import Symptom

LIKELY = 0.9
SIBLING = 0.6
"""For what is of the root's own kind: some load goes over to the others, but where all of them are as ill as the root, what
they have in common is likelier."""
FAILING, FAILING_APART = 0.3, 0.03
"""For probes that fail, where they do not only wait, of a root that is one topic or group: its load alone seldom does that, and
hardly to one rack."""
ONE_OF_MANY = frozenset({"topic", "group"})
ELSEWHERE = 0.03
"""For brokers that lead none of the partitions which the trouble of a topic is about."""
PASSED_ON = frozenset({
    "lag", "pace", "skew", "rebalance", "membership", "locality", "cross-zone", "produce", "retries", "queue", "threads",
    "latency", "errors", "traffic", "cpu", "storage", "replication", "replication-traffic", "leadership", "quorum",
    "availability", "probe", "source", "cache", "upload", "worker-rebalance", "assignment", "connections", "memory", "gc",
    "dominance",
})  # fmt: skip
"""Families of symptoms that one overloaded or waiting part makes in its neighbours. What names its own cause (a failed task,
a jump of offsets, a throttle, a denial, an open transaction) is not passed on."""
PASSED_TOO = frozenset({"heartbeats-missed"})
"""Of a family that is not: a broker that waits answers the controller late. That it is gone is more than that."""
OWN = frozenset({"storage"})
"""Of these, what is inside one part: who waits for it does not get it too."""
WHERE_READ = frozenset({"locality", "cross-zone"})
"""From where somebody reads: brokers in trouble change that for all, load changes it for who reads it, unless it is so
much that leaders move."""
READERS: dict[str, tuple[str, ...]] = {
    "topic": ("consumers",), "principal": ("principal-topics", "consumers"), "group": ("topics", "consumers"),
}  # fmt: skip
LED = ("led-groups",)
"""The last step to who reads what a broker leads."""
BACK_MS = 120_000
"""Within this time of the end of what held them up the members of a group are back; what moves them later is another matter."""
MOST_COUNTED = 200
"""Of more at the end of a path the share in the whole cluster is taken."""
Steps = tuple[str, ...]
Shown = Sequence[tuple[Entity, Mapping[str, Symptom]]]
"""Brokers and what they show."""
NAMES_ITSELF = frozenset({"partition-stuck", "group-empty"})
"""Of a family that is passed on, yet itself no matter of load: one record that cannot be read, members that are not there."""
STOPPED, MANY = "commits-stopped", 0.3
"""Where so many (0–1) of those at the end of a path stand still, it is what they hang on that stops them."""
SURGES = "produce-surge"
MORE, TAKERS = frozenset({"partition-hot", SURGES}), frozenset({"broker", "rack", "cluster"})
"""What more records make, and who takes them: where those are in trouble fewer come."""


def earns(c: Candidate, units: Sequence[Unit]) -> bool:
    """True when the cause explains its symptoms better than chance does."""
    told = [math.log(1 - (1 - units[u].leak) * (1 - p)) for u, p in c.cover.items()]
    return c.static + fsum(told) > fsum([math.log(units[u].leak) for u in c.cover])


def strain(candidates: Collection[Candidate], evidence: Evidence, walker: Walker) -> None:
    """Widen what the causes that earn their keep cover (D10)."""
    accounted = _declared(candidates, evidence.units)
    brokers = [(e, shown.symptoms) for e, shown in evidence.shown.items() if e.kind == "broker"]
    for c in candidates:
        if (c.compiled.strains or c.over) and earns(c, evidence.units):
            reach = _Reach(c, brokers, accounted, evidence, walker)
            for e, steps, after in _at(c, evidence, walker):
                shown = evidence.shown[e]
                for kind in sorted(shown.symptoms):
                    p = reach.part(shown.symptoms[kind], steps, after=after)
                    if p:
                        p *= still(c, e, (kind,), evidence)
                        u = shown.units[FAMILY[kind]]
                        c.cover[u] = max(p, c.cover.get(u, 0.0))
                        c.explained.append((e, kind))


class _Reach:
    """How far one cause is what makes others show strays."""

    def __init__(
        self, c: Candidate, brokers: Shown, accounted: Mapping[int, None], evidence: Evidence, walker: Walker
    ) -> None:  # fmt: skip
        self._c, self._root = c, c.root
        self._accounted, self._evidence, self._walker = accounted, evidence, walker
        self._one_of_many = c.root.kind in ONE_OF_MANY
        self._by = coordinated(c.root, walker)
        self._stalled = stalled_by(c.root, walker, evidence)
        self._waiting = _waiting(c, brokers)
        self._carriers = _carriers(c.root, evidence)
        self._readers: dict[Entity, None] | None = None
        """Who reads what the cause burdens, where only they may read from elsewhere for it."""
        if c.root.kind in READERS and not _moved(c, brokers):
            self._readers = dict.fromkeys(walker.walk(c.root, READERS[c.root.kind]))
        self._shares: dict[tuple[Steps, str, str], float] = {}
        self._burdened: dict[Steps, dict[str, None]] = {}

    def part(self, s: Symptom, steps: Steps, *, after: bool) -> float:
        """How surely the symptom at the end of the path is a stray of the cause (0–1); ``after``: of its aftermath (D11)."""
        e, root = s.entity, self._root
        if not self._possible(s, after=after):
            return 0.0
        if self._c.compiled.cause.slows and e.kind == "group" and self._stands_still(e, s, steps):
            return 0.0
        p = SIBLING if e.kind == root.kind and e != root else LIKELY
        if self._one_of_many:
            p *= self._of_one(s, steps, after=after)
        p *= timely(s, e, self._c)
        p *= strained_part(s, root, self._c.onset, self._by, self._waiting, self._stalled, self._evidence)
        return p * self._share(steps, e.kind, s.kind) if p else 0.0

    def _possible(self, s: Symptom, *, after: bool) -> bool:
        e, root, family = s.entity, self._root, FAMILY[s.kind]
        u = self._evidence.shown[e].units[family]
        if not _passed_on(s.kind) or not NAMES_ITSELF.isdisjoint(self._evidence.units[u].kinds):
            return False
        if after and s.since_ms < self._c.ended - OLDER_MS:
            return False
        if self._c.over and family in HELD_UP and s.since_ms > self._c.ended + BACK_MS:
            return False
        if e == root:
            return True
        if family in OWN or u in self._accounted:
            return False
        if s.kind in MORE and root.kind in TAKERS and not after and self._gets_more(e):
            return False  # who waits takes less
        return after or family not in WHERE_READ or self._readers is None or e in self._readers

    def _stands_still(self, group: Entity, s: Symptom, steps: Steps) -> bool:
        """True where it is about a group that commits nothing any more, and is among few: what makes all wait stops many."""
        evidence = self._evidence
        kinds = evidence.units[evidence.shown[group].units[FAMILY[s.kind]]].kinds
        return STOPPED in kinds and self._share(steps, group.kind, STOPPED) < MANY

    def _gets_more(self, topic: Entity) -> bool:
        """True where more is written to the topic, or to what the root itself leads: siblings that wait look otherwise."""
        mine = self._root.kind == "broker" and self._root.name in _carriers(topic, self._evidence)
        return mine or self._evidence.symptom(topic, SURGES) is not None

    def _of_one(self, s: Symptom, steps: Steps, *, after: bool) -> float:
        """What is left of it as the effect of one topic's or one group's load."""
        e = s.entity
        if e == self._root:
            return 1.0
        shown = self._evidence.shown[e].symptoms
        p = 1.0
        if "probe-failing" in shown:
            p *= FAILING_APART if shown["probe-failing"].detail.get("apart") == "yes" else FAILING
        if e.kind == "broker" and self._carriers and e.name not in self._carriers:
            p *= ELSEWHERE
        if e.kind == "group":
            if not after and (FAMILY[s.kind] in HELD_UP or "commits-stopped" in shown):
                return 0.0  # who waits for a broker that is busy falls behind, keeps its members and goes on committing
            if steps[-1:] == LED and FAMILY[s.kind] not in WHERE_READ:
                p *= through(s, self._through(steps))
        return p

    def _through(self, steps: Steps) -> dict[str, None]:
        """Brokers through which the load at the end of the path reaches strangers."""
        found = self._burdened.get(steps)
        if found is None:
            leaders = self._walker.walk(self._root, steps[:-1], "broker")
            mine = [b for b in leaders if not self._carriers or b.name in self._carriers]
            found = self._burdened[steps] = burdened(mine, self._waiting, self._evidence)
        return found

    def _share(self, steps: Steps, kind: str, symptom: str) -> float:
        """How much of what is at the end of the path, and is observed, shows the symptom (0–1, never none): who is alone with
        it among many that hang on the root alike has it less likely from there."""
        key = (steps, kind, symptom)
        found = self._shares.get(key)
        if found is None:
            evidence = self._evidence
            ends = self._walker.walk(self._root, steps, kind) if steps[-1:] != ("members",) else []
            if not ends or len(ends) > MOST_COUNTED:
                active, well = evidence.census(kind, self._root.cluster, symptom)
            else:
                active = sum(1 for e in ends if evidence.symptom(e, symptom) is not None)
                well = sum(1 for e in ends if evidence.healthy(e, symptom))
            found = self._shares[key] = max(active, 1) / max(active + well, 1)
        return found


def _passed_on(kind: str) -> bool:
    """True for a symptom that load and waiting make elsewhere."""
    return FAMILY[kind] in PASSED_ON or kind in PASSED_TOO


def _waiting(c: Candidate, brokers: Shown) -> dict[str, None]:
    """Brokers that wait since the cause began, where it strains brokers at all."""
    if not any(steps[-1:] == LED or (c.root.kind in TELLS and "broker" in kinds) for steps, kinds in c.compiled.strains):
        return {}
    return {
        e.name: None
        for e, symptoms in brokers
        if e.cluster == c.root.cluster
        and any(FAMILY[k] in WAITS and timely(s, e, c) == 1.0 for k, s in symptoms.items())
    }  # fmt: skip


def _carriers(root: Entity, evidence: Evidence) -> dict[str, None]:
    """Brokers that lead the partitions which the symptoms of a topic are about; empty where they name none, or none is known."""
    shown = evidence.shown.get(root) if root.kind == "topic" else None
    partitions = [p for s in shown.symptoms.values() for p in s.detail.get("partitions", ())] if shown is not None else []
    return {b: None for p in partitions if isinstance(p, int) and (b := evidence.leader(root, p)) is not None}


def _moved(c: Candidate, brokers: Shown) -> bool:
    """True when brokers that the cause strains gave up leaders since it began."""
    return any("broker" in kinds or steps[-1:] == ("members",) for steps, kinds in c.compiled.strains) and any(
        e.cluster == c.root.cluster and "leaders-moved" in symptoms
        and timely(symptoms["leaders-moved"], e, c) == 1.0
        for e, symptoms in brokers
    )  # fmt: skip


def _declared(candidates: Iterable[Candidate], units: Sequence[Unit]) -> dict[int, None]:
    """Units at the root of a cause that follows a declared change, and only such a one, and that earns its keep."""
    out: dict[int, None] = {}
    for c in candidates:
        if any(change.required for change in c.compiled.changes) and earns(c, units):
            out.update((u, None) for u in c.cover if units[u].entity == c.root)
    return out


def _at(c: Candidate, evidence: Evidence, walker: Walker) -> Iterator[tuple[Entity, Steps, bool]]:
    """Entities with symptoms at the ends of the paths, each once, in order of the paths; the path, and whether it is one of
    the aftermath."""
    seen: dict[Entity, None] = {}
    strains = [(steps, kinds, False) for steps, kinds in c.compiled.strains]
    after = [(steps, kinds, True) for steps, kinds in _aftermath(c)] if c.over else []
    for steps, kinds, late in (*strains, *after):
        if steps and steps[-1] == "members" and not kinds:
            ends = [e for e in evidence.shown if e.cluster == c.root.cluster]
        else:
            ends = [e for kind in kinds or (None,) for e in walker.walk(c.root, steps, kind) if e in evidence.shown]
        for e in ends:
            if e not in seen:
                seen[e] = None
                yield e, steps, late


def _aftermath(c: Candidate) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """D11: paths from the root to what a backlog burdens."""
    groups = [steps for steps in (*c.compiled.impact, *c.compiled.aftermath) if "members" not in steps]
    ends = [(*steps, step) for steps in groups for step in ("leaders", "group-principals")]
    return [*((steps, ()) for steps in (*groups, *ends)), (("cluster", "members"), ("rack",))]
