"""The life of incidents: settle, open, update, revise, merge, split, recover, resolve, reopen.

Rules, as numbered in the tests:
I1  a new hypothesis settles before anybody is told; half as long when confidence is high (at a group's or a connector's root:
    when several symptoms make it sure, for what else it may be shows a poll later), a sixth when several make it certain, and
    at once when an objective is breached and it is confident, of a group sure
I2  a hypothesis that vanishes while settling was never an incident
I3  the cause moves only at 2 nats, held (``revise_held_ms``); while settling it moves freely and is told when it has held for
    as long, while recovering never, and for some time after what defined it, and was there for minutes, is over only to what
    may have begun before
I4  what another incident explains better now moves there, what both explain alike stays, save what begins after a cause was
    over: it is the others'; an incident left with nothing is merged, the older id stays
I5  root clear: recovering; what remains stays its own while it shrinks, and is judged anew when it stalls, by whatever
    explains it then; what nothing explains is let go
I6  resolved: symptoms clear **and** impact fine, for ``hold``; signals that stop never resolve
I7  symptoms that come back before that are the same firing period, with a flap count
I8  the same cause and root within ``hold`` after resolving reopen the incident
I9  a breached objective that no incident accounts for is one, of unknown cause; those of a cluster that follow on each
    other are one, and what accounts for them later takes them over
I11 a symptom that comes late amends the incident whose cause expects it, open or lately resolved: told, nobody is paged
I10 nothing opens while ``may_open`` is false (after a start or a gap in time), it settles
I15 what befalls a broker that has an incident belongs to that: a restart as its remedy, or its end
I13 what comes back minutes after it had gone, while its incident recovers, has begun anew and need not be the incident's
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

from msgspec import structs

from kroute.contracts.common import Entity
from kroute.diagnosis.evidence import earlier
from kroute.diagnosis.load import Catalogue
from kroute.diagnosis.model import UNKNOWN, Hypothesis
from kroute.diagnosis.paths import Walker
from kroute.diagnosis.unknown import common
from kroute.incidents import recovery
from kroute.incidents.affected import IMPACT, affected, own_troubles
from kroute.incidents.matching import held_by, match, older_first, told_first, whose
from kroute.incidents.model import Evidence, Incident
from kroute.incidents.store import Store
from kroute.incidents.timing import CONFIDENT, ORPHAN_MS, ORPHANS_APART_MS, REVISE_NATS, SURE, Timing
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.model import Rows, Symptom
from kroute.signals.table import BY_KIND, IMPACT_FAMILY

LIVE = ("settling", "open", "recovering")
LATE_MARGIN_MS = 120_000
MAX_STALL_MS = 1_200_000


class Lifecycle:
    """Incidents of one domain. ``incidents`` holds the live ones, and ended ones for ``hold`` (to reopen)."""

    def __init__(self, domain: str, rows: Rows, board: Board, estate: Estate, catalogue: Catalogue) -> None:
        self._domain = domain
        self._board = board
        self._estate = estate
        self._catalogue = catalogue
        self._store = Store(rows)
        self.incidents: dict[str, Incident] = {}

    def load(self, value: bytes) -> None:
        """One row of ``incidents`` whose key begins with ``inc|``, at recovery."""
        incident = self._store.load(value)
        self.incidents[incident.id] = incident

    def live(self) -> dict[str, Incident]:
        """Settling, open and recovering incidents."""
        return {i: inc for i, inc in sorted(self.incidents.items()) if inc.phase in LIVE}

    def episode(self) -> dict[tuple[Entity, str], Symptom]:
        """Symptoms that were active in running episodes: they support their causes until the incidents resolve."""
        return {
            s: e.symptom
            for inc in self.live().values()
            if not inc.released
            for again in [recovery.anew(inc, self._board.active)]
            for s, e in inc.evidence.items()
            if s not in again
        }  # fmt: skip

    def known(self) -> dict[tuple[str, Entity], None]:
        """Cause and root of the incidents of which nothing is left: what they were stands, and is not paid for again (D17)."""
        return {(i.cause, i.root): None for i in self.live().values() if recovery.spent(i, self._board.active)}

    def step(self, now_ms: int, offset: int, hypotheses: list[Hypothesis], timing: Timing, *, may_open: bool) -> None:
        """Move every incident on to ``now_ms``; ``offset`` is that of the fact at hand (new ids hang on it)."""
        for inc in self.incidents.values():
            inc.moment = "updated" if inc.amended else None
            inc.why = "a symptom of it was told late" if inc.amended else None
            inc.amended = False
        walker = Walker(self._estate)
        accounts = [self._accounts(h, walker) for h in hypotheses]
        hypotheses = self._with_orphans(now_ms, hypotheses, accounts, walker)
        accounts += [{} for _ in hypotheses[len(accounts) :]]
        live = self.live()
        episode = self.episode()
        matches = match(hypotheses, live, accounts, self._board.active)
        older_first(hypotheses, matches.of, live, self._board.active)
        held = held_by(live.values())
        claims: dict[tuple[Entity, str], list[str]] = {}
        for n, h in enumerate(hypotheses):
            known = live.get(matches.of.get(n, ""))
            if known is not None:
                self._reconsider(known, h, now_ms, timing)
            known = known or self._befell(h)
            inc = known or self._reopen(h, now_ms, timing) or self._new(h, now_ms, offset, matches.shared.get(n, []))
            self._take_evidence(inc, h, episode, now_ms)
            for s in h.explains:
                claims.setdefault(s, []).append(inc.id)
            for e in accounts[n] if h.cause != UNKNOWN else ():
                claims.setdefault((e, IMPACT[0]), []).append(inc.id)
        explained_by = {}
        for s, ids in claims.items():
            there = self._board.active.get(s) or episode.get(s)
            began = there.since_ms if there is not None else 0
            explained_by[s] = whose(s, began, ids, held, self.incidents, self._catalogue)
        own = own_troubles(self.live().values(), walker)
        for inc in self.live().values():
            self._settle_evidence(inc, explained_by, now_ms)
            inc.affected = affected(inc, self._catalogue.by_id[inc.cause], self._board, walker, own)
            self._advance(inc, now_ms, timing, may_open=may_open)

    def amend(self, late: Iterable[Symptom]) -> None:
        """I11: put symptoms that were told late, and are over, to the incidents that they belong to."""
        walker = Walker(self._estate)
        for s in late:
            for i in sorted(self.incidents):
                inc = self.incidents[i]
                if inc.phase == "settling" or (s.entity, s.kind) in inc.evidence or s.since_ms < inc.started_ms - LATE_MARGIN_MS:
                    continue
                if inc.resolved_ms is not None and s.since_ms > inc.resolved_ms:
                    continue
                terms = [t for t in self._catalogue.by_id[inc.cause].expects if t.kind == s.kind]
                if any(s.entity in walker.walk(inc.root, t.steps, t.on) for t in terms):
                    inc.evidence[(s.entity, s.kind)] = Evidence(symptom=s, cleared_ms=s.last_ms)
                    inc.late = inc.amended = True
                    self._store.save(inc)
                    break

    def finish(self, now_ms: int, timing: Timing) -> None:
        """After routing: forget what is over, and write the rows that changed."""
        for i in sorted(self.incidents):
            inc = self.incidents[i]
            ended = inc.resolved_ms
            if inc.phase == "superseded" or (ended is not None and now_ms - ended > timing.hold_ms):
                del self.incidents[i]
                self._store.drop(i)
            else:
                self._store.save(inc)

    # -- from hypotheses to incidents ------------------------------------------------------------------------

    def _accounts(self, h: Hypothesis, walker: Walker) -> dict[Entity, None]:
        """Whose breached objectives it accounts for: of who shows it, and of who is on its impact paths."""
        out = dict.fromkeys(e for e, _ in h.explains)
        for steps in self._catalogue.by_id[h.cause].impact:
            out.update(dict.fromkeys(walker.walk(h.root, steps)))
        return out

    def _with_orphans(
        self, now_ms: int, hypotheses: list[Hypothesis], accounts: list[dict[Entity, None]], walker: Walker
    ) -> list[Hypothesis]:
        """I9: breached objectives that nothing accounts for go to the trouble of unknown cause of their cluster at their time,
        or are one."""
        accounted: dict[Entity, None] = {}
        for inc in self.live().values():
            if inc.cause != UNKNOWN:
                accounted.update(dict.fromkeys(inc.affected))
        for mine in accounts:
            accounted.update(mine)
        alone = [s for s in self._board.active.values() if s.kind == IMPACT[0] and s.entity not in accounted]
        parts: dict[str, list[list[Symptom]]] = {}
        for s in sorted(alone, key=lambda s: (s.since_ms, s.entity)):
            if now_ms - s.since_ms < ORPHAN_MS:
                continue
            of_cluster = parts.setdefault(s.entity.cluster, [])
            if of_cluster and s.since_ms - of_cluster[-1][-1].since_ms <= ORPHANS_APART_MS:
                of_cluster[-1].append(s)
            else:
                of_cluster.append([s])
        out = list(hypotheses)
        for cluster in sorted(parts):
            for part in parts[cluster]:
                explains = {(s.entity, s.kind) for s in part}
                at = next((n for n, h in enumerate(out) if self._same_time(h, cluster, part)), None)
                if at is not None:
                    out[at] = structs.replace(out[at], explains=tuple(sorted({*out[at].explains, *explains})))
                    continue
                root = common([s.entity for s in part], walker) if len(part) > 1 else part[0].entity
                told = tuple(sorted(explains))
                out.append(Hypothesis(cause=UNKNOWN, root=root, confidence=0.5, score=0.0, explains=told))
        return out

    def _same_time(self, h: Hypothesis, cluster: str, orphans: list[Symptom]) -> bool:
        """True for a trouble of unknown cause all over the cluster that began about when these objectives were breached."""
        if (h.cause, h.root.kind, h.root.cluster) != (UNKNOWN, "cluster", cluster):
            return False
        began = [s.since_ms for s in self._symptoms(h)]
        first, last = orphans[0].since_ms - ORPHANS_APART_MS, orphans[-1].since_ms + ORPHANS_APART_MS
        return any(first <= t <= last for t in began)

    def _new(self, h: Hypothesis, now_ms: int, offset: int, shared: list[str]) -> Incident:
        subject = h.explains[0][0] if h.explains else h.root
        there = list(self._symptoms(h))
        started = min((s.since_ms for s in [s for s in there if not s.detail.get("from_start")] or there), default=now_ms)
        same = sum(1 for i in self.incidents.values() if i.subject == subject and i.created_ms == now_ms)
        raw = f"{self._domain}|{subject.kind}|{subject.cluster}|{subject.name}|{offset}|{same}"
        told = [i for i in shared if self.incidents[i].phase != "settling"]
        inc = Incident(
            id="inc-" + hashlib.blake2b(raw.encode(), digest_size=8).hexdigest(),
            domain=self._domain, cluster=h.root.cluster, platform=self._estate.platform(h.root.cluster), subject=subject,
            cause=h.cause, root=h.root, confidence=h.confidence, phase="settling", started_ms=started, created_ms=now_ms,
            updated_ms=now_ms, split_from=told[0] if told else None,
        )  # fmt: skip
        self._adopt(inc, h)
        self.incidents[inc.id] = inc
        return inc

    def _befell(self, h: Hypothesis) -> Incident | None:
        """I15: the told incident of the same broker, if any."""
        if h.root.kind != "broker":
            return None
        mine = (i for i in self.incidents.values() if i.root == h.root and i.phase in ("open", "recovering"))
        return min(mine, key=lambda i: (told_first(i), i.id), default=None)

    def _reopen(self, h: Hypothesis, now_ms: int, timing: Timing) -> Incident | None:
        for i in sorted(self.incidents):
            inc = self.incidents[i]
            if inc.phase != "resolved" or inc.resolved_ms is None or now_ms - inc.resolved_ms > timing.hold_ms:
                continue
            if (inc.cause, inc.root) == (h.cause, h.root):
                inc.phase, inc.moment, inc.resolved_ms, inc.quiet_since_ms = "open", "reopened", None, None
                inc.recovering_since_ms, inc.released, inc.flaps, inc.surest = None, False, inc.flaps + 1, 0.0
                inc.why = f"the same symptoms came back within {timing.hold_ms // 1000} s"
                self._adopt(inc, h)
                return inc
        return None

    def _reconsider(self, inc: Incident, h: Hypothesis, now_ms: int, timing: Timing) -> None:
        """I3: keep, prepare to move, or move the cause."""
        if (inc.cause, inc.root) == (h.cause, h.root):
            inc.pending = None
            if inc.phase != "recovering" or inc.released or h.confidence >= inc.confidence:
                self._adopt(inc, h)
            return
        if inc.phase == "settling":
            inc.moved_ms = now_ms
            self._adopt(inc, h)
            return
        if inc.phase == "recovering" and not inc.released:
            inc.pending = None
            return  # what clears first says nothing of what it was
        ended = None if inc.released else recovery.ended(inc, self._catalogue.by_id[inc.cause], now_ms)
        if ended is not None and not recovery.began_by(self._symptoms(h), self._catalogue.by_id[h.cause], ended):
            inc.pending = None
            return
        now_held = next((r.confidence for r in h.rivals if (r.cause, r.root) == (inc.cause, inc.root)), 0.0)
        gap = math.log(h.confidence / now_held) if now_held > 0 else REVISE_NATS
        if gap < REVISE_NATS:
            inc.pending = None
            return
        if inc.pending is None or inc.pending[:2] != (h.cause, h.root):
            inc.pending = (h.cause, h.root, now_ms)
        if now_ms - inc.pending[2] >= timing.revise_held_ms:
            inc.why = f"{h.cause} at {h.root} explains it better than {inc.cause} at {inc.root}"
            inc.pending = None
            inc.moment = "revised"
            inc.recovering_since_ms = inc.quiet_since_ms = None
            inc.phase = "open"
            if inc.released:  # what was released is over; of what it has become nothing has stalled yet
                inc.released = False
                inc.evidence = {s: e for s, e in inc.evidence.items() if e.cleared_ms is None}
            self._adopt(inc, h)

    def _adopt(self, inc: Incident, h: Hypothesis) -> None:
        if inc.phase == "settling" or (inc.cause, inc.root) != (h.cause, h.root):
            inc.surest = 0.0
        inc.surest = max(inc.surest, h.confidence)
        inc.cause, inc.root, inc.confidence = h.cause, h.root, h.confidence
        inc.rivals, inc.ruled_out, inc.missing = h.rivals, h.ruled_out, h.missing

    def _symptoms(self, h: Hypothesis) -> Iterable[Symptom]:
        for s in h.explains:
            found = self._board.active.get(s)
            if found is not None:
                yield found

    def _take_evidence(
        self, inc: Incident, h: Hypothesis, episode: dict[tuple[Entity, str], Symptom], now_ms: int
    ) -> None:  # fmt: skip
        """What it explains is its evidence, since the episode of whose it was before began."""
        for s in self._symptoms(h):
            key = (s.entity, s.kind)
            old = episode.get(key)
            if key not in inc.evidence and recovery.over_by(inc, s.since_ms):
                inc.joined = (*inc.joined, key)
            inc.evidence[key] = Evidence(symptom=s if old is None else earlier(s, old.since_ms))
        inc.joined = inc.joined if inc.phase == "recovering" else ()
        inc.updated_ms = now_ms

    def _settle_evidence(self, inc: Incident, explained_by: dict[tuple[Entity, str], str], now_ms: int) -> None:
        """Refresh what is still active, mark what has cleared, let go what another incident explains (I4)."""
        again = recovery.anew(inc, self._board.active)
        for s in sorted(inc.evidence):
            other = explained_by.get(s)
            if other is not None and other != inc.id:
                del inc.evidence[s]
                if not inc.evidence and inc.superseded_by is None:
                    inc.superseded_by = other
                continue
            old, now = inc.evidence[s], self._board.active.get(s)
            if now is not None and old.cleared_ms is None and other is None and inc.released and s[1] not in IMPACT:
                del inc.evidence[s]  # I5: it was judged anew, and is nobody's
            elif now is not None:
                inc.evidence[s] = Evidence(symptom=now if s in again else earlier(now, old.symptom.since_ms))
            elif old.cleared_ms is None:
                inc.evidence[s] = Evidence(symptom=old.symptom, cleared_ms=now_ms)

    # -- phases ----------------------------------------------------------------------------------------------

    def _advance(self, inc: Incident, now_ms: int, timing: Timing, *, may_open: bool) -> None:
        if not inc.evidence:
            self._end_empty(inc, now_ms)
            return
        active = [s for s, e in inc.evidence.items() if e.cleared_ms is None]
        own = recovery.own(inc, self._catalogue.by_id[inc.cause])
        clear = not any(s in own for s in active) if own else not active
        breached = any((e, IMPACT[0]) in self._board.active for e in inc.affected)
        at_risk = any((e, IMPACT[1]) in self._board.active for e in inc.affected)
        if inc.phase == "settling":
            if not active:
                self._forget(inc)  # I2
                return
            told = sum(BY_KIND[kind].family != IMPACT_FAMILY for _, kind in active)
            wait = timing.settles_ms(inc.cause, inc.root.kind, inc.confidence, told)
            at_once = breached and inc.confidence >= (SURE if inc.root.kind == "group" else CONFIDENT)
            held = now_ms - inc.moved_ms >= timing.revise_held_ms
            if may_open and held and (now_ms - inc.created_ms >= wait or at_once):
                inc.phase, inc.opened_ms, inc.moment = "open", now_ms, "opened"
            return
        if inc.phase == "open" and clear:
            inc.phase, inc.recovering_since_ms = "recovering", now_ms
            inc.remaining, inc.progress_ms = len(active), now_ms
        elif inc.phase == "recovering" and not clear:
            inc.phase, inc.recovering_since_ms, inc.released = "open", None, False
            if inc.quiet_since_ms is not None:
                inc.flaps += 1  # I7
        if inc.phase == "recovering" and active and self._stalled(inc, len(active), now_ms, timing):
            inc.released = True  # I5
        if active or breached or at_risk:
            inc.quiet_since_ms = None
        elif inc.quiet_since_ms is None:
            inc.quiet_since_ms = now_ms
        if inc.quiet_since_ms is not None and now_ms - inc.quiet_since_ms >= timing.hold_ms:
            inc.phase, inc.resolved_ms, inc.updated_ms, inc.moment = "resolved", now_ms, now_ms, "resolved"

    def _stalled(self, inc: Incident, left: int, now_ms: int, timing: Timing) -> bool:
        """True when what remains has not shrunk for a while: neither fewer symptoms nor a backlog that is being read.

        What built up over a long trouble takes long to go: half of its length is allowed, up to ``MAX_STALL_MS``.
        """
        if left < inc.remaining or any((e, "catching-up") in self._board.active for e in inc.affected):
            inc.remaining, inc.progress_ms = min(left, inc.remaining), now_ms
        lasted = recovery.lasted_ms(inc, self._catalogue.by_id[inc.cause])
        return now_ms - inc.progress_ms > max(timing.stall_ms, min(lasted // 2, MAX_STALL_MS))

    def _forget(self, inc: Incident) -> None:
        """It never was an incident: its row goes too, or a restart would bring it back."""
        del self.incidents[inc.id]
        self._store.drop(inc.id)

    def _end_empty(self, inc: Incident, now_ms: int) -> None:
        """Nothing is left of it: another incident explains its symptoms now (I4)."""
        if inc.phase == "settling":
            self._forget(inc)
            return
        into = self.incidents.get(inc.superseded_by or "")
        inc.phase, inc.resolved_ms, inc.updated_ms, inc.moment = "superseded", now_ms, now_ms, "merged"
        if into is not None:
            inc.why = f"its symptoms belong to {into.id}: {into.cause} at {into.root}"
            into.supersedes = tuple(sorted({*into.supersedes, inc.id}))
