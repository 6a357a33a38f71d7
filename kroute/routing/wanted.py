"""The routes an incident asks for now: three roles, their owners, how each is told, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kroute.contracts.common import Entity
from kroute.diagnosis.model import Cause, OwnerRole
from kroute.incidents.model import Incident
from kroute.routing.delivery import Wanted
from kroute.routing.impact import Affected, Felt
from kroute.routing.ledger import Entry, Frozen, Told
from kroute.routing.owners import DEFAULT_FALLBACK, Finder, Found
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.policy import InForce
from kroute.routing.remedies import Undo
from kroute.routing.rules import PolicyRoute
from kroute.routing.situation import Hush
from kroute.routing.urgency import RANK, Context, Decision, Telling, by_policy, holds

RECORDS_LOST = ("offset-skipped", "records-lost")
"""Symptoms of a group that has not read, and will not read, what it was to read."""
_LOWER = {"page": ("page", "ticket", "notify"), "ticket": ("ticket", "notify"), "notify": ("notify",)}
MAX_DESTINATION = 2048
ESCALATED = "escalated:"
"""A route's reason begins with this when a page was not acknowledged in time; the policy route's name follows."""


class Asked(NamedTuple):
    """What is wanted, the owners to keep, and the live action owner for the automation boundary.

    ``repeat_ms``: how often the policy's routes want an open page to be said again; None: as its numbers say.
    """

    routes: tuple[Wanted, ...]
    frozen: dict[str, Frozen]
    action: Found
    repeat_ms: int | None = None


def destination(team: str, urgency: str, cluster: str, ownership: OwnershipIndex, policy: InForce) -> str:
    """Where a team is reached: its row's (or the policy's) destination for the urgency, the next lower, else ``team:<name>``."""
    m = ownership.resolve("team", cluster, team)
    for word in _LOWER[urgency]:
        where = getattr(m.row, word) if m is not None else None
        if not where:
            where = policy.teams.get(team, {}).get(word)
        if isinstance(where, str) and 0 < len(where) <= MAX_DESTINATION:
            return where
    return f"team:{team}"


def data_classes(root: Entity, felt: Felt, ownership: OwnershipIndex) -> tuple[str, ...]:
    """Data classes that the rows of the root, and of the groups and topics that suffer, state; sorted."""
    near = {root: None}
    for a in felt.affected:
        near[a.entity] = None
        if a.measure.topic:
            near[Entity("topic", a.entity.cluster, a.measure.topic)] = None
    found = [m.row.data_class for e in near if (m := ownership.resolve(e.kind, e.cluster, e.name)) is not None]
    return tuple(sorted({c for c in found if c}))


class Asker:
    """Works out the routes of one incident. ``entry``: what was said before, None when nothing was; ``afresh``: the
    cause moved or the incident came back, so that owners are looked up again and nothing need be told as loudly as before.
    """

    def __init__(
        self, incident: Incident, cause: Cause, felt: Felt, finder: Finder, ownership: OwnershipIndex, policy: InForce,
        entry: Entry | None, *, afresh: bool, acked: bool, hush: Hush, now_ms: int,
    ) -> None:  # fmt: skip
        self._incident = incident
        self._cause = cause
        self._felt = felt
        self._finder = finder
        self._ownership = ownership
        self._policy = policy
        self._hush = hush
        self._now_ms = now_ms
        self._paged_ms = None if entry is None or afresh or acked else entry.paged_ms
        self._severity = "minor"
        self._tellings: dict[tuple[str, str], list[tuple[Telling, Context]]] = {}
        self._told: dict[str, Told] = {} if entry is None or afresh else entry.told
        kept = {} if entry is None else entry.frozen
        self._before = {k: f for k, f in kept.items() if not afresh or k.startswith("impact|")}
        self._frozen: dict[str, Frozen] = {}
        self._routes: dict[tuple[str, str], Wanted] = {}
        self._services: dict[str, dict[str, None]] = {}
        self._data_classes = data_classes(incident.root, felt, ownership)

    def ask(self, decision: Decision, undo: tuple[Undo, ...] = ()) -> Asked:
        """All routes, in the order impact, diagnosis, action; suppressed ones are silent.

        ``undo``: remedies that made things worse; whoever owns the way back is paged, before and above anything else.
        """
        incident, owners = self._incident, self._cause.owners
        self._severity = decision.severity
        for u in undo:
            self._add("action", self._owner(f"undo|{u.remedy}", lambda u=u: u.owner), Telling("page", u.reason))  # type: ignore[misc]
        for a in self._felt.suffering():
            telling = decision.impact if a.measure.state == "breached" else decision.impact_at_risk
            self._suffers(a, telling, tiers=(a.tier,) if a.tier else ())
        for a in self._felt.affected:  # who lost records suffers, however fresh those are that it has
            if not a.suffers and _lost_records(incident, a.entity):
                self._suffers(a, Telling("notify", "records-lost"))
        words = _action_words(self._cause, incident)
        self._add(
            "diagnosis", self._owner("diagnosis", lambda: self._finder.owner(owners.diagnosis, incident)), decision.diagnosis
        )
        action = self._finder.owner(words, incident)
        self._add("action", self._owner("action", lambda: action), decision.action)
        if decision.platform.urgency is not None:
            self._add("action", self._owner("platform", self._platform), decision.platform)
        for word in owners.also:
            found = self._finder.of_role(word, incident)
            if found is not None and all(team != found.team for _, team in self._routes):
                self._add("diagnosis", self._owner(f"also|{word}", lambda found=found: found), Telling("notify", "informed"))  # type: ignore[misc]
        self._keep_told()
        self._escalate()
        settled = self._frozen.get("action")
        if settled is not None and settled.team != action.team:
            action = Found(settled.team, settled.via)  # a row moved since: what is proved must be proved of who was told
        kept = self._hushed()
        return Asked(tuple(self._routes.values()), kept, action, self._repeat_ms())

    def _suffers(self, a: Affected, telling: Telling, tiers: tuple[str, ...] = ()) -> None:
        name = a.service or str(a.entity)
        frozen = self._owner(f"impact|{name}", lambda: self._finder.of_affected(a))
        self._services.setdefault(frozen.team, {})[name] = None
        self._add("impact", frozen, telling, services=(name,), tiers=tiers)

    def services_of(self, w: Wanted) -> tuple[str, ...]:
        """Services that a route is about: an impact owner's own, else all downstream of the root."""
        return tuple(self._services.get(w.team, ())) if w.role == "impact" else self._felt.services

    def _platform(self) -> Found:
        found = self._finder.of_role("platform", self._incident)
        return found if found is not None else self._finder.fallback(self._incident.root.cluster)

    def _owner(self, key: str, find: Callable[[], Found]) -> Frozen:
        """The owner this role was given at first; one that nobody was is looked up again."""
        old = self._before.get(key)
        if old is None or old.via == DEFAULT_FALLBACK:
            f = find()
            if old is None or f.via != DEFAULT_FALLBACK:
                old = Frozen(f.team, f.via, f.runbook, f.escalation, {})
        frozen = Frozen(old.team, old.via, old.runbook, old.escalation, dict(old.destinations))
        self._frozen[key] = frozen
        return frozen

    def _add(
        self, role: str, owner: Frozen, telling: Telling, services: tuple[str, ...] = (), tiers: tuple[str, ...] = ()
    ) -> None:
        ctx = Context(
            cause=self._cause.id,
            cluster=self._incident.cluster,
            services=services or self._felt.services,
            tiers=tiers or tuple(dict.fromkeys(a.tier for a in self._felt.affected if a.tier)),
            objective=next(iter(self._felt.states()), "unknown"),
            team=owner.team,
            role=role,
            entity=str(self._incident.root),
            data_classes=self._data_classes,
            severity=self._severity,
            confidence=self._incident.confidence,
        )
        self._tellings.setdefault((role, owner.team), []).append((telling, ctx))
        telling = by_policy(telling, ctx, self._policy, self._now_ms)
        if telling.urgency is None:
            return
        urgency, reason = telling.urgency, telling.reason
        told = self._told.get(f"{role}|{owner.team}")
        if told is not None and RANK[told.urgency] >= RANK[urgency]:
            reason = reason if told.urgency == urgency else told.reason
            urgency, where = told.urgency, told.destination
        else:
            if urgency not in owner.destinations:
                owner.destinations[urgency] = destination(
                    owner.team, urgency, self._incident.cluster, self._ownership, self._policy
                )
            where = owner.destinations[urgency]
        have = self._routes.get((role, owner.team))
        if have is None or RANK[urgency] > RANK[have.urgency]:
            self._routes[(role, owner.team)] = Wanted(
                role, owner.team, urgency, where, reason, owner.via, owner.runbook, owner.escalation
            )

    def _keep_told(self) -> None:
        """Who was told stays told until the incident ends or its cause moves, even when its own trouble is over."""
        found = {role for role, _ in self._routes}
        for t in self._told.values():
            gone = t.via == DEFAULT_FALLBACK and t.role in found  # its owner is known by now
            if (t.role, t.team) not in self._routes and not gone:
                self._routes[(t.role, t.team)] = Wanted(t.role, t.team, t.urgency, t.destination, t.reason, t.via)

    def _escalate(self) -> None:
        """Tell the next team of a page that stays without an acknowledgement (``PolicyRoute.escalate``)."""
        if self._paged_ms is None:
            return
        for route in self._policy.routes:
            e = route.escalate
            if e is None or self._now_ms - self._paged_ms < e.after_ms():
                continue
            for role, team in list(self._routes):
                if team == e.to or (role, e.to) in self._routes or not self._pages_by(route, role, team):
                    continue
                where = destination(e.to, e.urgency, self._incident.cluster, self._ownership, self._policy)
                self._routes[(role, e.to)] = Wanted(
                    role, e.to, e.urgency, where, f"{ESCALATED}{route.name}", f"policy:{route.name}"
                )

    def _repeat_ms(self) -> int | None:
        """The shortest that a route asks for, of all pages."""
        found = [
            ms
            for route in self._policy.routes
            if (ms := route.repeat_ms()) is not None and any(self._pages_by(route, *k) for k in self._routes)
        ]
        return min(found, default=None)

    def _pages_by(self, route: PolicyRoute, role: str, team: str) -> bool:
        """True when the route speaks of this page. One that is only kept told is judged by nothing any more."""
        return (
            self._routes[(role, team)].urgency == "page"
            and route.concerns(role)
            and any(holds(route.when, t, ctx, self._policy, self._now_ms) for t, ctx in self._tellings.get((role, team), ()))
        )

    def _hushed(self) -> dict[str, Frozen]:
        """Silence the routes that are hushed, and give the owners to keep: not one that has never been told."""
        silent: dict[str, None] = {}
        for key, w in self._routes.items():
            by = self._hush.of_route(w.team, self.services_of(w))
            if by is not None:
                self._routes[key] = w._replace(silent=True, reason="silenced" if by.by == "silence" else by.by)
                silent[w.team] = None
        kept = dict(self._before)
        kept.update((k, f) for k, f in self._frozen.items() if f.team not in silent or k in self._before)
        return dict(sorted(kept.items()))


def _lost_records(incident: Incident, e: Entity) -> bool:
    return any((e, kind) in incident.evidence for kind in RECORDS_LOST)


def _action_words(cause: Cause, incident: Incident) -> tuple[OwnerRole, ...]:
    """Who acts: by what the failed tasks' traces blame, where the cause says so; the root's own trace first."""
    if cause.owners.action_by_trace:
        keys: list[tuple[Entity, str]] = sorted(incident.evidence, key=lambda s: (s[0] != incident.root, s))
        for key in keys:
            words = cause.owners.action_by_trace.get(str(incident.evidence[key].symptom.detail.get("trace_kind", "")))
            if words:
                return words
    return cause.owners.action
