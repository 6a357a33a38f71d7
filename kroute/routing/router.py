"""The fourth stage: incidents and their moments in, records for ``routed-alerts`` out. Every decision has a named reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

import orjson

from kroute.contracts.alerts import Alert, Automation, Suppressed
from kroute.contracts.rows import Change
from kroute.diagnosis.model import Cause, Owners, Prior
from kroute.diagnosis.paths import Walker
from kroute.incidents.model import Incident
from kroute.routing import automation
from kroute.routing.compose import Parts, compose, record
from kroute.routing.controls import Controls, Stamped
from kroute.routing.delivery import Wanted, plan
from kroute.routing.flood import KEY as FLOOD_KEY
from kroute.routing.flood import MAX_LISTED, Floods
from kroute.routing.impact import Felt, felt
from kroute.routing.ledger import Entry, Frozen, Ledger, Obligations, Opened, Said, Told, needs_update
from kroute.routing.owners import DEFAULT_FALLBACK, PLATFORM_FALLBACK, Finder, Found
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.policy import InForce, PolicyBook
from kroute.routing.remedies import Followed, Watch, follow
from kroute.routing.situation import Hush, hush, situation
from kroute.routing.times import rfc3339
from kroute.routing.urgency import RANK, SEVERITY_RANK, decide
from kroute.routing.wanted import ESCALATED, Asker
from kroute.signals.board import Board
from kroute.signals.changes import Changes
from kroute.signals.estate import Estate
from kroute.signals.model import Measures, Rows

ENDED = ("resolved", "superseded")
_BEFORE_MS = 3_600_000
"""Changes that began up to this long before an incident are listed in its records."""
_MAX_CHANGES = 8


class _View(NamedTuple):
    """What there is to say about one incident now."""

    severity: str
    felt: Felt
    wanted: tuple[Wanted, ...]
    frozen: dict[str, Frozen]
    suppressed: Suppressed | None
    automation: Automation
    collapses: tuple[str, ...]
    repeat_ms: int | None
    followed: Followed


class Router:
    """Routes the incidents of one domain. Its memory is the ledger: rows in ``incidents`` under ``out|<id>``."""

    def __init__(
        self, domain: str, rows: Rows, ownership: OwnershipIndex, policy: PolicyBook, controls: Controls, changes: Changes,
        catalogue: Mapping[str, Cause], estate: Estate, measures: Measures, board: Board,
    ) -> None:  # fmt: skip
        self.domain = domain
        self._ownership = ownership
        self._policy = policy
        self._controls = controls
        self._changes = changes
        self._catalogue = catalogue
        self._estate = estate
        self._measures = measures
        self._board = board
        self._finder = Finder(ownership, estate)
        self._ledger = Ledger(rows)
        self._floods = Floods(rows, self._ledger.get)
        self.fallbacks: Counter[str] = Counter()
        """How often a route was opened at ``fallback:platform`` or ``fallback:default`` since it was taken for a metric."""

    def load(self, key: str, value: bytes) -> None:
        """One row of the table ``incidents`` whose key begins with ``out|`` or ``flood|``, at recovery."""
        if key.startswith(FLOOD_KEY):
            self._floods.load(key, value)
        else:
            self._ledger.load(key, value)

    def route(self, now_ms: int, incidents: Mapping[str, Incident]) -> list[Alert]:
        """Records that are due at ``now_ms`` for all incidents that live or ended in this tick; none twice."""
        out: list[Alert] = []
        silences = [s for s in self._controls.silences(now_ms) if self._allowed(s)]
        drills: tuple[Change, ...] | None = None
        for i in sorted(incidents):
            incident = incidents[i]
            if incident.phase == "settling" or (incident.phase in ENDED and not self._end_due(incident)):
                continue
            if drills is None:
                drills = tuple(c for c in self._changes.all() if c.kind == "drill")
            alert = self._one(incident, silences, drills, now_ms)
            if alert is not None:
                out.append(alert)
        self._ledger.expire(now_ms)
        self._floods.expire(self._policy.current.numbers, now_ms)
        return out

    def obligations(self, began_ms: Mapping[str, int]) -> Obligations:
        """What is open somewhere; ``began_ms``: the incidents that are not over, and when each began."""
        return self._ledger.obligations(began_ms)

    def _end_due(self, incident: Incident) -> bool:
        entry = self._ledger.get(incident.id)
        return entry is not None and (entry.ended_ms is None or incident.moment is not None)

    def _allowed(self, s: Stamped) -> bool:
        return self._policy.current.allows(s.realm, s.kind)

    def _one(self, incident: Incident, silences: list[Stamped], drills: tuple[Change, ...], now_ms: int) -> Alert | None:
        entry = self._ledger.get(incident.id)
        firing = incident.phase not in ENDED
        policy = self._policy.current
        cause = self._catalogue.get(incident.cause) or _nameless(incident.cause)
        back = entry is not None and entry.ended_ms is not None and firing
        afresh = back or (entry is not None and incident.moment == "revised")
        impact = felt(incident, self._ownership, self._estate, self._measures, now_ms)
        hushed = hush(incident, impact, silences, self._changes, now_ms)
        heard = self._heard(incident.id)
        unheard = [s for k, s in heard.items() if entry is not None and k not in entry.heard] if firing else []
        acked = entry is not None and ((entry.acked and not back) or any(s.kind == "ack" for s in unheard))
        if not firing:
            self._floods.over(incident.id)
        view = self._view(
            incident, impact, cause, entry, policy, hushed, drills, now_ms, firing=firing, afresh=afresh, acked=acked
        )  # fmt: skip
        news = _fingerprint(incident, view)
        reason = needs_update(
            None if entry is None else Said(entry.news, entry.said_ms, entry.ended_ms is not None),
            news=news,
            firing=firing,
            moment=bool(unheard) or (incident.moment is not None and (entry is None or incident.moment != "opened")),
            repeats=entry is not None and entry.paging and not acked,
            repeat_ms=int(policy.numbers.repeat_s * 1000) if view.repeat_ms is None else view.repeat_ms,
            now_ms=now_ms,
        )
        if reason is None:
            return None
        old = entry if entry is not None else Entry(incident=incident.id, root=str(incident.root))
        planned = plan(incident.id, view.wanted, old.opened, lambda o: _leaving(o, incident, view.wanted, revised=afresh))
        for r in planned.routes:
            if r.do == "open" and r.via in (PLATFORM_FALLBACK, DEFAULT_FALLBACK):
                self.fallbacks[r.via] += 1
        urgency = max((RANK[w.urgency] for w in view.wanted), default=-1)
        escalated = any(w.reason.startswith(ESCALATED) and f"{w.role}|{w.team}" not in old.told for w in view.wanted)
        undone = any(u.remedy not in old.remedies or not old.remedies[u.remedy].roll_back for u in view.followed.undo)
        type_ = _type(incident, entry, view.severity, urgency, unheard, back=back, escalated=escalated or undone)
        alert = compose(
            incident,
            cause,
            Parts(
                revision=old.revision + 1,
                type=type_,
                severity=view.severity,
                felt=view.felt,
                routes=planned.routes,
                automation=view.automation,
                suppressed=view.suppressed,
                changes=self._touching(incident, now_ms),
                why=_why(incident, unheard, reason, policy, view, self._floods.into(view.wanted)),
                collapses=view.collapses,
                remedies=view.followed.told,
                policy_version=policy.version,
                now_ms=now_ms,
            ),
            self._estate,
        )
        loud = [w for w in view.wanted if not w.silent]
        pages = any(w.urgency == "page" for w in loud)
        self._ledger.save(
            Entry(
                incident=incident.id,
                root=str(incident.root),
                revision=old.revision + 1,
                opened=planned.opened,
                told={
                    f"{w.role}|{w.team}": Told(w.role, w.team, w.urgency, w.destination, w.via, w.reason)
                    for w in sorted(loud)
                },
                frozen=view.frozen if firing else {},
                news=news,
                severity=view.severity,
                urgency=urgency if afresh else max(urgency, old.urgency),
                said_ms=now_ms,
                ended_ms=None if firing else (old.ended_ms if old.ended_ms is not None else now_ms),
                supersedes=incident.supersedes,
                heard=tuple(heard),
                acked=acked,
                remedies=view.followed.runs,
                paged_ms=(old.paged_ms if old.paged_ms is not None and not afresh else now_ms) if pages else None,
            )
        )  # fmt: skip
        if firing:
            self._floods.said(incident.id, entry, view.wanted, policy.numbers, now_ms)
        return record(alert, now_ms)

    def _view(
        self, incident: Incident, impact: Felt, cause: Cause, entry: Entry | None, policy: InForce, hushed: Hush,
        drills: tuple[Change, ...], now_ms: int, *, firing: bool, afresh: bool, acked: bool,
    ) -> _View:  # fmt: skip
        facts = situation(incident, cause, impact, self._changes, policy, now_ms)
        decision = decide(facts)
        asker = Asker(
            incident, cause, impact, self._finder, self._ownership, policy, entry, afresh=afresh, acked=acked, hush=hushed,
            now_ms=now_ms,
        )  # fmt: skip
        followed = self._follow(incident, entry, now_ms)
        asked = asker.ask(decision, followed.undo)
        suppressed = hushed.whole
        if suppressed is None and asked.routes and all(w.silent for w in asked.routes):
            first = asked.routes[0]
            suppressed = hushed.of_route(first.team, asker.services_of(first))
        verdict = (
            self._automation(incident, cause, asked.action, impact, policy, drills, followed, now_ms)
            if firing
            else Automation(verdict="human", remedy=None, valid_until=None, proved={}, missing=("the incident is over",))
        )
        wanted = self._floods.hold_back(incident.id, entry, asked.routes, policy.numbers, now_ms) if firing else ()
        collapses = self._floods.carried_by(incident.id)
        return _View(decision.severity, impact, wanted, asked.frozen, suppressed, verdict, collapses, asked.repeat_ms, followed)

    def _automation(
        self,
        incident: Incident,
        cause: Cause,
        owner: Found,
        impact: Felt,
        policy: InForce,
        drills: tuple[Change, ...],
        followed: Followed,
        now_ms: int,
    ) -> Automation:
        reports = {r.id: [s for s in self._controls.actions(r.id) if self._allowed(s)] for r in cause.remedies}
        return automation.judge(
            automation.Inputs(
                cause=cause,
                incident=incident,
                owner=owner,
                felt=impact,
                policy=policy,
                ownership=self._ownership,
                finder=self._finder,
                drills=drills,
                freezes=tuple(self._changes.touching(incident.root, ("freeze",), now_ms, now_ms)),
                reports=reports,
                elsewhere=self._ledger.elsewhere(str(incident.root)) if any(reports.values()) else frozenset(),
                useless=followed.useless,
                board=self._board,
                walker=Walker(self._estate),
                now_ms=now_ms,
            )
        )

    def _follow(self, incident: Incident, entry: Entry | None, now_ms: int) -> Followed:
        """What became of the remedies that were reported on the incident."""
        before = entry.remedies if entry is not None else {}
        reports = [s for s in self._controls.actions_on(incident.id) if self._allowed(s)]
        if not before and not reports:
            return Followed({})
        watching = Watch(incident, self._catalogue, self._board, Walker(self._estate), now_ms)
        return follow(watching, before, reports if incident.phase not in ENDED else [], self._finder, self._estate)

    def _heard(self, incident: str) -> dict[str, Stamped]:
        """Acknowledgements and verdicts on an incident, by what makes each new."""
        said = (*self._controls.acks(incident), *self._controls.verdicts(incident))
        return {f"{s.kind}/{s.realm or ''}/{s.id}/{s.control.at_ms}": s for s in said if self._allowed(s)}

    def _touching(self, incident: Incident, now_ms: int) -> tuple[dict[str, object], ...]:
        found = self._changes.touching(incident.root, None, incident.started_ms - _BEFORE_MS, now_ms)
        return tuple(
            {
                "id": c.id, "kind": c.kind, "by": c.by, "why": c.why, "rollback": c.rollback,
                "starts_at": rfc3339(c.starts_at_ms), "ends_at": rfc3339(c.ends_at_ms) if c.ends_at_ms is not None else None,
            }
            for c in found[-_MAX_CHANGES:]
        )  # fmt: skip


def _type(
    incident: Incident, entry: Entry | None, severity: str, urgency: int, unheard: list[Stamped], *, back: bool, escalated: bool,
) -> str:  # fmt: skip
    if entry is None:
        return "opened"
    if incident.phase in ENDED:
        if entry.ended_ms is not None:
            return "updated"
        return "merged" if incident.phase == "superseded" else "resolved"
    if back:
        return "reopened"
    if incident.moment in ("revised", "merged"):
        return incident.moment
    if incident.supersedes != entry.supersedes:
        return "merged"
    if (
        SEVERITY_RANK[severity] > SEVERITY_RANK[entry.severity]
        or urgency > entry.urgency
        or incident.moment == "escalated"
        or escalated
    ):
        return "escalated"
    return "acknowledged" if any(s.kind == "ack" for s in unheard) else "updated"


def _leaving(o: Opened, incident: Incident, wanted: tuple[Wanted, ...], *, revised: bool) -> str:
    """Why a delivery is closed."""
    if incident.phase in ENDED:
        return "merged" if incident.phase == "superseded" else "resolved"
    for w in wanted:
        if w.team == o.team and w.silent:
            return w.reason
    if revised:
        return "cause-revised"
    return "escalated" if any(w.team == o.team for w in wanted) else "owner-known"


def _why(
    incident: Incident, unheard: list[Stamped], reason: str, policy: InForce, view: _View, into: tuple[tuple[str, str], ...]
) -> str | None:
    said = [incident.why] if incident.why else []
    for s in unheard:
        c = s.control
        if s.kind == "ack":
            said.append(f"acknowledged by {c.by}" + (f": {c.why}" if c.why else ""))
        else:
            better = f", should be {c.should_be}" if c.should_be else ""
            said.append(f"{c.by} says {c.verdict or 'nothing'}{better}" + (f": {c.why}" if c.why else ""))
    said += view.followed.news
    if reason == "repeat":
        every = policy.numbers.repeat_s if view.repeat_ms is None else view.repeat_ms / 1000
        said.append(f"still firing after {every:g} s without an acknowledgement")
    if view.collapses:
        listed = ", ".join(view.collapses[:MAX_LISTED])
        said.append(f"flood: {len(view.collapses)} more incidents page nobody and are listed here: {listed}")
    said += [f"flood: pages to {team} are collapsed into {carrier}" for team, carrier in into]
    return "; ".join(said) or None


def _fingerprint(incident: Incident, view: _View) -> str:
    """What is news: everything but values that merely move."""
    parts = [
        incident.phase in ENDED, incident.phase == "recovering", incident.cause, str(incident.root), view.severity,
        sorted([w.role, w.team, w.urgency, w.destination, w.silent] for w in view.wanted),
        sorted({(a.service or str(a.entity), a.measure.state) for a in view.felt.suffering()}),
        [view.suppressed.by, view.suppressed.id] if view.suppressed is not None else None,
        list(incident.supersedes), incident.superseded_by,
        [view.automation.verdict, view.automation.remedy],
    ]  # fmt: skip
    if view.followed.runs:
        parts.append(view.followed.fingerprint())
    if view.collapses:
        parts.append(list(view.collapses))
    return sha256(orjson.dumps(parts)).hexdigest()[:32]


def _nameless(cause: str) -> Cause:
    """A cause that this catalogue does not have (any more): the platform team reads and acts."""
    return Cause(
        id=cause, title=cause, root="cluster", summary=f"{cause} at {{root}}", prior=Prior("0/week", "1m"),
        owners=Owners(diagnosis=("platform",), action=("platform",)),
    )  # fmt: skip
