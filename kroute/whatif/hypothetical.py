"""One incident that did not happen: who would be told, how, and why. The router itself answers, so nothing can disagree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from kroute.contracts.common import Entity
from kroute.diagnosis.load import Catalogue
from kroute.diagnosis.model import Cause
from kroute.diagnosis.paths import Walker, parse
from kroute.errors import StateError
from kroute.incidents.model import Evidence, Incident
from kroute.routing.impact import felt
from kroute.routing.owners import Finder
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.router import Router
from kroute.routing.situation import situation
from kroute.routing.urgency import Decision, decide
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.model import Measure, Rows, Symptom
from kroute.whatif.known import Known

ID = "inc-hypothetical"
LAG_OF = {"breached": 2.0, "at-risk": 0.8, "fine": 0.0}
"""State → how far behind, in objectives."""
NEAR: dict[tuple[str, str], tuple[str, bool]] = {
    ("connector", "system"): ("system", True),
    ("connector", "group"): ("group", True),
    ("connector", "topic"): ("connector-topics", True),
    ("connector", "connect-worker"): ("worker", True),
    ("group", "topic"): ("topics", True),
    ("group", "connector"): ("group", False),
    ("group", "principal"): ("principal-groups", False),
    ("topic", "group"): ("topics", False),
    ("topic", "connector"): ("connector-topics", False),
    ("topic", "principal"): ("principal-topics", False),
    ("topic", "broker"): ("topic-leaders", True),
    ("system", "connector"): ("system", False),
    ("broker", "group"): ("leaders", False),
    ("broker", "topic"): ("topic-leaders", False),
    ("broker", "rack"): ("rack", True),
    ("rack", "broker"): ("rack", False),
    ("connect-worker", "connector"): ("worker", False),
    ("transaction", "topic"): ("transaction-topics", True),
    ("principal", "topic"): ("principal-topics", True),
    ("principal", "group"): ("principal-groups", True),
}
"""(root's kind, kind near it) → the relation, and whether the root is the one that has it."""


class Question(NamedTuple):
    """``impact``: groups, topics and services → their state; empty: ``state`` for all that the cause's paths lead to.

    ``near``: what hangs together with the root, where no recording tells it. ``symptoms``: seen at the root besides those
    that define the cause.
    """

    cause: str
    root: Entity
    impact: Mapping[Entity, str] = {}
    state: str = "breached"
    near: tuple[Entity, ...] = ()
    symptoms: tuple[str, ...] = ()
    confidence: float = 0.9
    now_ms: int = 0


class Asked(NamedTuple):
    """A role word of the cause, and who answers to it: the team and the row, or None."""

    role: str
    word: str
    team: str | None
    via: str | None


class Looked(NamedTuple):
    """A thing that was looked up, and the rows that name it, the one that wins first."""

    thing: str
    rows: tuple[str, ...]


class Answer(NamedTuple):
    """The record as it would be delivered, the rule that decided, the words asked and the rows that answered."""

    record: dict[str, Any]
    decision: Decision
    asked: tuple[Asked, ...]
    looked: tuple[Looked, ...]


class _Supposed:
    """Measures as the question supposes them."""

    def __init__(self, states: Mapping[Entity, str], known: OwnershipIndex, estate: Estate) -> None:
        self._states = states
        self._known = known
        self._estate = estate

    def of_group(self, group: Entity, now_ms: int) -> tuple[Measure, ...]:
        """One measure of a group that the question names."""
        state = self._states.get(group)
        if state is None:
            return ()
        topic = next((t.name for t in self._estate.related(group, "topics")), "")
        connectors = self._estate.related(group, "connector")
        objective = self._known.objective_s(group.cluster, group.name, topic or None, connectors)
        lag = objective * LAG_OF[state] if objective is not None and state in LAG_OF else None
        return (Measure(topic, group.name, None, lag, "estimate" if lag is not None else None, None, objective, state),)

    def of_topic(self, topic: Entity, now_ms: int) -> Measure | None:
        """The measure of a topic that the question names."""
        state = self._states.get(topic)
        if state is None:
            return None
        objective = self._known.data_age_objective_s(topic.cluster, topic.name)
        age = objective * LAG_OF[state] if objective is not None and state in LAG_OF else None
        return Measure(topic.name, None, None, None, None, age, objective, state)


def ask(known: Known, catalogue: Catalogue, q: Question) -> Answer:
    """Put the question.

    Raises:
        StateError: the cause is not in the catalogue, has another root, or what is named does not hang together.
    """
    cause = _cause(catalogue, q)
    estate = known.estate(q.root.cluster)
    _join(estate, q)
    states = {_resolved(e, q.root, known.ownership, estate): s for e, s in q.impact.items()}
    _edges(known.ownership, estate, (q.root, *q.near, *states))
    if not states:
        states = dict.fromkeys(_downstream(catalogue, cause, q.root, estate), q.state)
    incident = _incident(q, cause, tuple(sorted(states)), estate)
    measures = _Supposed(states, known.ownership, estate)
    router = Router(
        q.root.cluster, Rows(), known.ownership, known.policy, known.controls, known.changes, catalogue.causes, estate, measures,
        Board(Rows()),
    )  # fmt: skip
    [alert] = router.route(q.now_ms, {ID: incident})
    impact = felt(incident, known.ownership, estate, measures, q.now_ms)
    decision = decide(situation(incident, cause, impact, known.changes, known.policy.current, q.now_ms))
    record = orjson.loads(alert.value)
    finder = Finder(known.ownership, estate)
    things: dict[Entity, None] = dict.fromkeys((q.root, *q.near, *sorted(states)))
    things.update({Entity("service", q.root.cluster, s): None for s in impact.services})
    things[Entity("cluster", q.root.cluster, q.root.cluster)] = None
    things.update({Entity("team", q.root.cluster, r["team"]): None for r in record["routes"]})
    return Answer(record, decision, tuple(_asked(cause, incident, finder)), tuple(_looked(known.ownership, things)))


def _cause(catalogue: Catalogue, q: Question) -> Cause:
    cause = catalogue.causes.get(q.cause)
    if cause is None:
        raise StateError(f"no cause {q.cause} in the catalogue; 'kroute catalogue' lists them")
    if cause.root != q.root.kind and q.cause != "unknown":
        raise StateError(f"{q.cause} has its root at a {cause.root}, not at a {q.root.kind}")
    return cause


def _join(estate: Estate, q: Question) -> None:
    """What the question says to hang together with the root."""
    by_relation: dict[tuple[Entity, str], list[Entity]] = {}
    for e in q.near:
        found = NEAR.get((q.root.kind, e.kind))
        if found is None:
            kinds = sorted(k for r, k in NEAR if r == q.root.kind)
            raise StateError(f"a {e.kind} is not near a {q.root.kind}; {', '.join(kinds) or 'nothing'} may be")
        relation, root_has_it = found
        owner, other = (q.root, e) if root_has_it else (e, q.root)
        by_relation.setdefault((owner, relation), []).append(other)
    for (owner, relation), others in sorted(by_relation.items()):
        estate.connect(owner, relation, sorted({*estate.related(owner, relation), *others}))
    if q.root.kind == "connector" and not estate.related(q.root, "group"):
        name = q.root.name.rpartition("/")[2]  # a sink's group, as Connect names it
        estate.connect(q.root, "group", [Entity("group", q.root.cluster, f"connect-{name}")])


def _edges(known: OwnershipIndex, estate: Estate, entities: Iterable[Entity]) -> None:
    """What rows state about them."""
    for e in entities:
        for relation, others in known.estate_edges(e, estate):
            if others:
                estate.connect(e, relation, others)


def _resolved(e: Entity, root: Entity, known: OwnershipIndex, estate: Estate) -> Entity:
    """A group, a topic, or the group of a service: by its row, or by that of a connector that lives on it."""
    if e.kind in ("group", "topic"):
        return e
    if root.kind == "connector" and known.service_of(root) == e.name:
        return estate.related(root, "group")[0]
    groups = [g for g in estate.related(e, "service-groups") if g.kind == "group"]
    if groups:
        return groups[0]
    rows = [r for r in known.rows() if r.service == e.name and r.cluster in (e.cluster, "*")]
    for kind in ("group", "connector", "topic"):
        for r in rows:
            if r.kind == kind:
                name = r.name.removesuffix("*") + "hypothetical" if r.name.endswith("*") else r.name
                if kind != "connector":
                    return Entity(kind, e.cluster, name)
                group = Entity("group", e.cluster, f"connect-{name.rpartition('/')[2]}")
                estate.connect(Entity("connector", e.cluster, name), "group", [group])
                return group
    raise StateError(f"no group, connector or topic row belongs to {e}; name a group: --impact group/NAME=breached")


def _downstream(catalogue: Catalogue, cause: Cause, root: Entity, estate: Estate) -> list[Entity]:
    walker = Walker(estate)
    found: dict[Entity, None] = {}
    for path in cause.impact:
        found.update(dict.fromkeys(walker.walk(root, parse(path))))
    return [e for e in sorted(found) if e.kind in ("group", "topic")]


def _incident(q: Question, cause: Cause, affected: tuple[Entity, ...], estate: Estate) -> Incident:
    out = Incident(
        id=ID, domain=q.root.cluster, cluster=q.root.cluster, platform="kafka", subject=q.root, cause=q.cause, root=q.root,
        confidence=q.confidence, phase="open", started_ms=q.now_ms - 60_000, updated_ms=q.now_ms, opened_ms=q.now_ms,
        affected=affected, moment="opened",
    )  # fmt: skip
    walker = Walker(estate)
    seen = [(e, x.symptom) for x in cause.expects if x.required for e in walker.walk(q.root, parse(x.at))[:1]]
    for e, kind in [*seen, *((q.root, s) for s in q.symptoms)]:
        s = Symptom(kind=kind, entity=e, since_ms=q.now_ms - 60_000, last_ms=q.now_ms, why="supposed")
        out.evidence[(e, kind)] = Evidence(symptom=s)
    return out


def _asked(cause: Cause, incident: Incident, finder: Finder) -> Iterable[Asked]:
    by_trace = [(f"action, trace {k}", v) for k, v in sorted(cause.owners.action_by_trace.items())]
    for role, words in (("diagnosis", cause.owners.diagnosis), ("action", cause.owners.action), *by_trace):
        for word in words:
            found = finder.of_role(word, incident)
            yield Asked(role, word, found.team if found else None, found.via if found else None)


def _looked(known: OwnershipIndex, things: Iterable[Entity]) -> Iterable[Looked]:
    for e in things:
        yield Looked(f"{e.kind}/{e.cluster}/{e.name}", tuple(m.via for m in known.path(e.kind, e.cluster, e.name)))
