"""How far the trouble of a group is that of a broker which leads what it reads, or of its rack.

D14 lag of a group is a broker's doing as far as it grew more on what the broker leads, or led when it went, than elsewhere
    (detail ``led``), and likewise a rack's; who reads from a broker that goes may stand still altogether until there is
    another leader, and fall behind as it goes; a coordinator serves no records: what only it could have done begins as it goes,
    alone or with its rack, or shows in members or commits too; who has members in a rack suffers with it wherever the
    leaders are; what the load of a topic or a group does to strangers it does through leaders that wait, or are not observed,
    and as far as the strangers' lag is of what those lead
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kroute.contracts.common import Entity
from kroute.diagnosis.evidence import FAMILY, Evidence
from kroute.diagnosis.paths import Walker
from kroute.signals.model import Symptom

TELLS = {"broker": "led", "rack": "led_racks"}
"""Kind of a root → the detail of a symptom that says how far its lag is that of what the root leads."""
OTHERWISE = {"broker": ("coordinated",), "rack": ("rack-groups", "coordinated")}
"""Kind of a root → the last steps by which else it reaches a group than by what it leads."""
COORDINATORS = {"broker": (), "rack": ("brokers",)}
"""Kind of a root → how it reaches the coordinators that are ill with it."""
LEADERS = ("leaders",)
STALLS, STALLS_MS = 0.5, 60_000
"""A client waits for a broker that has gone with all it reads, for as long as it takes to find the next leader."""
MOVES_MS = 180_000
"""A coordinator that goes holds up its groups until another one is found; who falls behind later does so for itself."""
WAITS = frozenset({"latency", "queue", "threads"})
"""Families of symptoms of a broker that make who reads from it wait."""
WAITING = tuple(sorted(kind for kind, family in FAMILY.items() if family in WAITS))
HELD_UP = frozenset({"rebalance", "membership"})
"""Families of symptoms that a coordinator makes in its groups, besides ``commits-stopped``."""


def led_part(s: Symptom, root: Entity, steps: tuple[str, ...]) -> float:
    """What is left of a symptom (0–1) as the effect of ``root`` at the end of a path from it."""
    detail = TELLS.get(root.kind)
    if detail is None or s.entity.kind != "group" or (steps and steps[-1] in OTHERWISE[root.kind]):
        return 1.0
    led = s.detail.get(detail)
    return 1.0 if led is None else float(led.get(root.name, 0.0))


def coordinated(root: Entity, walker: Walker) -> dict[Entity, Entity | None]:
    """Group → its coordinator, of those that are ill with ``root``; None for a group that has members in a rack as root."""
    if root.kind not in COORDINATORS:
        return {}
    brokers = walker.walk(root, COORDINATORS[root.kind])
    out: dict[Entity, Entity | None] = {g: b for b in brokers for g in walker.walk(b, ("coordinated",))}
    return out | dict.fromkeys(walker.walk(root, ("rack-groups",)))


def strained_part(
    s: Symptom, root: Entity, onset: int, by: Mapping[Entity, Entity | None], waiting: Mapping[str, None],
    stalled: Mapping[Entity, None], evidence: Evidence,
) -> float:  # fmt: skip
    """As ``led_part``, whichever way it was done.

    ``by``: what ``coordinated`` says. ``waiting``: brokers that the root strains, so that what they lead falls behind in turn.
    ``stalled``: what ``stalled_by`` says.
    """
    part = led_part(s, root, ())
    if part < STALLS and s.entity in stalled and abs(s.since_ms - onset) <= STALLS_MS:
        part = STALLS
    if part < 1.0:
        part = max([part, *(float(of_it) for broker, of_it in s.detail.get("led", {}).items() if broker in waiting)])
    if part == 1.0 or s.entity not in by:
        return part
    coordinator = by[s.entity]
    if coordinator is None or (evidence.symptom(coordinator, "broker-gone") is not None and s.since_ms <= onset + MOVES_MS):
        return 1.0
    there = evidence.shown[s.entity].symptoms
    return 1.0 if "commits-stopped" in there or any(FAMILY[k] in HELD_UP for k in there) else part


def stalled_by(root: Entity, walker: Walker, evidence: Evidence) -> dict[Entity, None]:
    """Groups that read from a broker when it went; empty for any other root."""
    if root.kind != "broker" or evidence.symptom(root, "broker-gone") is None:
        return {}
    return dict.fromkeys(walker.walk(root, ("led-groups",)))


def burdened(leaders: Iterable[Entity], waiting: Mapping[str, None], evidence: Evidence) -> dict[str, None]:
    """Of these brokers those that may pass a load on: who waits, and of whom it is not observed."""
    return {b.name: None for b in leaders if b.name in waiting or not any(evidence.healthy(b, kind) for kind in WAITING)}


def through(s: Symptom, brokers: Mapping[str, None]) -> float:
    """What is left of a stranger's symptom (0–1) as the effect of a load on these brokers."""
    led = s.detail.get("led")
    if led is None:
        return 1.0 if brokers else 0.0
    return max((float(led.get(b, 0.0)) for b in brokers), default=0.0)


def parts_led(group: Entity, evidence: Evidence) -> dict[str, float] | None:
    """Broker → how far the lag of the group is that of what it leads; None where none of its symptoms tells."""
    shown = evidence.shown.get(group)
    out: dict[str, float] | None = None
    for s in shown.symptoms.values() if shown is not None else ():
        led = s.detail.get("led")
        if led is not None:
            out = {} if out is None else out
            for broker, part in led.items():
                out[broker] = max(float(part), out.get(broker, 0.0))
    return out
