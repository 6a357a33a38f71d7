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
from kroute.diagnosis.candidate import OLDER_MS, Candidate, timely
from kroute.diagnosis.evidence import FAMILY, Evidence, Unit
from kroute.diagnosis.led import HELD_UP, TELLS, WAITS, coordinated, strained_part
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
MOST_COUNTED = 200
"""Of more at the end of a path the share in the whole cluster is taken."""
Steps = tuple[str, ...]
Shown = Sequence[tuple[Entity, Mapping[str, Symptom]]]
"""Brokers and what they show."""
NAMES_ITSELF = frozenset({"partition-stuck"})
"""Of a family that is passed on, yet itself no matter of load: one record that cannot be read."""


def earns(c: Candidate, units: Sequence[Unit]) -> bool:
    """True when the cause explains its symptoms better than chance does."""
    told = [math.log(1 - (1 - units[u].leak) * (1 - p)) for u, p in c.cover.items()]
    return c.static + fsum(told) > fsum([math.log(units[u].leak) for u in c.cover])


def strain(candidates: Collection[Candidate], evidence: Evidence, walker: Walker) -> None:
    """Widen what the causes that earn their keep cover (D10)."""
    accounted = _declared(candidates, evidence.units)
    brokers = [(e, shown.symptoms) for e, shown in evidence.shown.items() if e.kind == "broker"]
    for c in candidates:
        if not (c.compiled.strains or c.over) or not earns(c, evidence.units):
            continue
        shares: dict[tuple[Steps, str, str], float] = {}
        by = coordinated(c.root, walker)
        waiting = _waiting(c, brokers)
        carriers = _carriers(c.root, evidence)
        readers = None
        if c.root.kind in READERS and not _moved(c, brokers):
            readers = dict.fromkeys(walker.walk(c.root, READERS[c.root.kind]))
        for e, steps, after in _at(c, evidence, walker):
            shown = evidence.shown[e]
            for kind in sorted(shown.symptoms):
                family, s = FAMILY[kind], shown.symptoms[kind]
                if not _passed_on(kind) or (family in OWN and e != c.root):
                    continue
                if kind == "partition-hot" and c.root.kind == "broker" and c.root.name in _carriers(e, evidence):
                    continue  # a broker that waits takes less of what it leads, not more
                if family in HELD_UP and e.kind == "group" and e != c.root and c.root.kind in ONE_OF_MANY:
                    continue  # who waits for a broker that is busy falls behind, and keeps its members
                if family in WHERE_READ and readers is not None and not after and e != c.root and e not in readers:
                    continue
                if after and s.since_ms < c.ended - OLDER_MS:
                    continue
                u = shown.units[family]
                if (u in accounted and e != c.root) or not NAMES_ITSELF.isdisjoint(evidence.units[u].kinds):
                    continue
                p = SIBLING if e.kind == c.root.kind and e != c.root else LIKELY
                if c.root.kind in ONE_OF_MANY and "probe-failing" in shown.symptoms:
                    p *= FAILING_APART if shown.symptoms["probe-failing"].detail.get("apart") == "yes" else FAILING
                if carriers and e.kind == "broker" and e.name not in carriers:
                    p *= ELSEWHERE
                p *= timely(s, e, c) * strained_part(s, c.root, c.onset, by, waiting, evidence)
                if not p:
                    continue
                key = (steps, e.kind, kind)
                if key not in shares:
                    shares[key] = _share(c.root, steps, e.kind, kind, evidence, walker)
                p *= shares[key]
                c.cover[u] = max(p, c.cover.get(u, 0.0))
                c.explained.append((e, kind))


def _passed_on(kind: str) -> bool:
    """True for a symptom that load and waiting make elsewhere."""
    return FAMILY[kind] in PASSED_ON or kind in PASSED_TOO


def _waiting(c: Candidate, brokers: Shown) -> dict[str, None]:
    """Brokers that wait since the cause began, where it strains brokers at all."""
    if c.root.kind not in TELLS or not any("broker" in kinds for _, kinds in c.compiled.strains):
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


def _share(root: Entity, steps: Steps, kind: str, symptom: str, evidence: Evidence, walker: Walker) -> float:
    """How much of what is at the end of the path, and is observed, shows the symptom (0–1, never none): who is alone with
    it among many that hang on the root alike has it less likely from there."""
    ends = walker.walk(root, steps, kind) if steps[-1:] != ("members",) else []
    if not ends or len(ends) > MOST_COUNTED:
        active, well = evidence.census(kind, root.cluster, symptom)
    else:
        active = sum(1 for e in ends if evidence.symptom(e, symptom) is not None)
        well = sum(1 for e in ends if evidence.healthy(e, symptom))
    return max(active, 1) / max(active + well, 1)


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
    groups = [steps for steps in c.compiled.impact if "members" not in steps]
    ends = [(*steps, step) for steps in groups for step in ("leaders", "group-principals")]
    return [*((steps, ()) for steps in (*groups, *ends)), (("cluster", "members"), ("rack",))]
