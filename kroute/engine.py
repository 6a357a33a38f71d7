"""The engine: one step per record of ``kroute.facts``. Pure: no I/O, clock, randomness or logging below it.

One ``PartitionState`` holds all domains of one facts partition. Rows that ``step`` returns, loaded again into a
fresh state, give a state that behaves the same to the byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct

from kroute import upgrade
from kroute.contracts import codec
from kroute.contracts.alerts import Alert
from kroute.contracts.common import Entity
from kroute.contracts.facts import FLOOD, PROGRESS, Envelope, Fact, Flood
from kroute.contracts.rows import Change, Control, Ownership, Policy
from kroute.contracts.topics import INPUTS, SIGNALS
from kroute.diagnosis.load import Catalogue, load
from kroute.domain import Domain
from kroute.errors import BadMessage, StateError
from kroute.heartbeat import heartbeats
from kroute.incidents.timing import Timing
from kroute.routing.controls import Controls
from kroute.routing.ledger import Obligations
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.policy import PolicyBook
from kroute.settings import Settings
from kroute.signals.changes import Changes
from kroute.signals.model import DEFAULT_INTERVAL_MS, Rows, Src

REVIEW_MS = 5_000
"""Diagnosis runs when symptoms changed, and at least this often while anything is wrong."""
JUMP_MS = 2 * DEFAULT_INTERVAL_MS
"""A jump of ``now`` above two polls starts a settle period."""


_FLOOD = msgspec.json.Decoder(Flood)


class Effects(NamedTuple):
    """What a step changes outside: ``(table, key)`` → bytes, None deletes (keys without the partition); and alerts."""

    rows: dict[tuple[str, str], bytes | None]
    alerts: list[Alert]


class Forbidden(NamedTuple):
    """A control that the policy in force did not let its realm give: it is not taken. ``why`` names policy and realm."""

    fact: Fact
    kind: str
    why: str


class _Clock(Struct):
    """Time and positions of one partition; one row.

    ``progress``: append time (ms) reached per input partition; ``seen``: highest offset and append time applied;
    ``dirty``: domains with changes since their last diagnosis; ``settle_until``: nothing opens before it.
    """

    version: int = upgrade.STATE_VERSION
    now: int = 0
    ticked: int = 0
    settle_until: int = 0
    beat: int = 0
    progress: dict[str, int] = {}
    of: int = 0
    seen: dict[str, tuple[int, int]] = {}
    dirty: dict[str, bool] = {}
    clusters: dict[str, list[str]] = {}


class Engine:
    """The catalogue and the settings that all partitions share."""

    def __init__(self, catalogue: Catalogue, heartbeat_ms: int = 60_000) -> None:
        self.catalogue = catalogue
        self.heartbeat_ms = heartbeat_ms

    def new_state(self, partition: int) -> PartitionState:
        """An empty state for one facts partition."""
        return PartitionState(self, partition)

    def outdated(self, clock: bytes | None) -> bool:
        """Whether the state with this clock row must be migrated before it is loaded.

        Raises:
            StateError: a newer version wrote it.
        """
        return upgrade.version_of(clock) < upgrade.STATE_VERSION

    def migrate(self, rows: upgrade.Rows) -> upgrade.Changes:
        """What has to be written so that ``rows``, all of a partition, can be loaded (``kroute.upgrade``)."""
        return upgrade.migrate(rows)


def build(settings: Settings) -> Engine:
    """The engine of an installation.

    Raises:
        BadFile: a file of the user's catalogue cannot be used.
    """
    return Engine(load([settings.catalogue_dir] if settings.catalogue_dir else []), settings.heartbeat_s * 1000)


class PartitionState:
    """State of one facts partition."""

    def __init__(self, engine: Engine, partition: int) -> None:
        self._engine = engine
        self.partition = partition
        self._changed: dict[tuple[str, str], bytes | None] = {}
        shared = Rows("", self._changed)
        self._shared = shared
        self.ownership = OwnershipIndex(shared)
        self.policy = PolicyBook(shared)
        self.controls = Controls(shared)
        self.changes = Changes(shared)
        self.domains: dict[str, Domain] = {}
        self._clock = _Clock()
        self.skipped = 0
        """Facts that had been applied before (repeats of the input), since this state was made."""
        self.refused = 0
        """Facts that did not decode; ingest let them through, so a newer ingest runs beside this worker."""
        self._forbidden: list[Forbidden] = []

    @property
    def now_ms(self) -> int:
        """Event time the partition has reached."""
        return self._clock.now

    # -- recovery --------------------------------------------------------------------------------------------

    def load(self, table: str, key: str, value: bytes) -> None:
        """One stored row at recovery, in any order, before ``loaded`` is called once.

        Raises:
            StateError: the row was written by another version.
        """
        domain, _, rest = key.partition("|")
        if domain:
            self._domain(domain).load(table, rest, value)
        elif table == "ownership":
            self.ownership.load(rest, value)
        elif table == "controls" and rest.startswith("change|"):
            self.changes.load(value)
        elif table == "controls" and rest.startswith("control|"):
            self.controls.load(rest, value)
        elif table == "controls" and rest == "policy":
            self.policy.load(value)
        elif table == "entities" and rest == "clock":
            if self._engine.outdated(value):
                raise StateError("a state of an older version is migrated before it is loaded")
            self._clock = msgspec.msgpack.decode(value, type=_Clock)

    def loaded(self) -> None:
        """All rows are in: build what is derived from them."""
        for name in sorted(self.domains):
            self.domains[name].loaded(self._clock.clusters.get(name, []))
        self._changed.clear()

    # -- one step --------------------------------------------------------------------------------------------

    def step(self, offset: int, envelope: Envelope) -> Effects:
        """Apply one record of ``kroute.facts`` at ``offset``."""
        self._changed.clear()
        for fact in envelope.facts:
            if fact.topic == PROGRESS:
                self._progress(fact)
            elif fact.topic == FLOOD:
                self._flood(fact)
            else:
                self._apply(fact)
        alerts = self._tick(offset)
        self._shared.put("entities", "clock", msgspec.msgpack.encode(self._clock))
        return Effects(dict(self._changed), alerts)

    def _progress(self, fact: Fact) -> None:
        clock = self._clock
        source = f"{fact.src}|{fact.p}"
        if fact.ts > clock.progress.get(source, -1):
            clock.progress[source] = fact.ts
        clock.of = fact.of
        if len(clock.progress) < clock.of:
            return
        now = min(clock.progress.values())
        if now <= clock.now:
            return
        if now - clock.now > JUMP_MS:
            clock.settle_until = now + self._timing().settle_ms
        clock.now = now

    def _flood(self, fact: Fact) -> None:
        try:
            told = _FLOOD.decode(fact.val)
        except msgspec.MsgspecError:
            self.refused += 1
            return
        if fact.d in self._clock.clusters:  # it was heard, so it has a domain
            domain = self._domain(fact.d)
            domain.flooded(told, self._clock.now or fact.ts)
            self._clock.dirty[fact.d] = self._clock.dirty.get(fact.d, False) or domain.changed()

    def _apply(self, fact: Fact) -> None:
        clock = self._clock
        source = f"{fact.src}|{fact.p}"
        o, ts = clock.seen.get(source, (-1, -1))
        if fact.o <= o and fact.ts <= ts:
            self.skipped += 1
            return
        # The newest time stays: a broker's clock may have gone back, and what came before is a repeat all the same.
        clock.seen[source] = (fact.o, max(ts, fact.ts))
        if fact.topic not in INPUTS:
            self.refused += 1
            return
        raw = bytes(fact.val)
        try:
            value = codec.decode(fact.topic, None if raw == b"null" else raw)
        except BadMessage:
            self.refused += 1
            return
        now = clock.now or fact.ts
        if fact.topic in SIGNALS:
            name = fact.d or value.cluster
            domain = self._domain(name)
            known = clock.clusters.setdefault(name, [])
            if value.cluster not in known:
                known.append(value.cluster)
                domain.clusters = known
                domain.meet(value.cluster)
            domain.observe(fact.topic, Src(fact.src, fact.p, fact.o, fact.ts), value, now)
            clock.dirty[name] = clock.dirty.get(name, False) or domain.changed()
        else:
            self._state(fact, raw, value)
            clock.dirty = dict.fromkeys(clock.clusters, True)

    def _state(self, fact: Fact, raw: bytes, value: Ownership | Change | Control | Policy | None) -> None:
        key = fact.key or ""
        if fact.topic == "ownership":
            row = value if isinstance(value, Ownership) else None
            self.ownership.put(key, raw if row is not None else None, row)
            for name in sorted(self.domains):
                self.domains[name].ownership_changed(key, row)
        elif isinstance(value, Change):
            self.changes.put(value)
        elif fact.topic == "controls":
            if isinstance(value, Control) and not self.policy.current.allows(fact.realm, value.kind):
                # For good: a later policy must not bring to life what was refused when it was given.
                whose = f"realm {fact.realm}" if fact.realm else "the topic without a realm"
                said = f"policy {self.policy.current.version} does not let {whose} give a {value.kind}"
                self._forbidden.append(Forbidden(fact, value.kind, said))
                return
            self.controls.put(key, value if isinstance(value, Control) else None, fact.realm)
        elif fact.topic == "policy":
            self.policy.put(raw if value is not None else None, value if isinstance(value, Policy) else None)

    def _tick(self, offset: int) -> list[Alert]:
        clock = self._clock
        now = clock.now
        if now // 1000 <= clock.ticked // 1000:
            return []
        review = now // REVIEW_MS != clock.ticked // REVIEW_MS
        clock.ticked = now
        if review:
            self.controls.expire(now)
            self.changes.expire(now)
        alerts: list[Alert] = []
        timing = self._timing()
        settled = now >= clock.settle_until
        for name in sorted(self.domains):
            domain = self.domains[name]
            domain.tick(now, settled=settled)
            if review or domain.changed() or clock.dirty.get(name):
                clock.dirty[name] = False
                alerts += domain.diagnose(now, offset, timing, may_open=settled)
        beat = now // self._engine.heartbeat_ms
        if beat > clock.beat:
            clock.beat = beat
            alerts += heartbeats(sorted({c for cs in clock.clusters.values() for c in cs}), beat, now)
        return alerts

    def _timing(self) -> Timing:
        n = self.policy.current.numbers
        return Timing(
            settle_ms=int(n.settle_s * 1000),
            hold_ms=int(n.hold_s * 1000),
            lateness_ms=int(n.lateness_s * 1000),
            repeat_ms=int(n.repeat_s * 1000),
        )

    def _domain(self, name: str) -> Domain:
        domain = self.domains.get(name)
        if domain is None:
            domain = self.domains[name] = Domain(
                name, Rows(name, self._changed), self._engine.catalogue,
                self.ownership, self.policy, self.controls, self.changes,
            )  # fmt: skip
        return domain

    def at_stake(self) -> list[Entity]:
        """What objectives that are breached or at risk hang on, of all domains; the worst first within each."""
        return [e for name in sorted(self.domains) for e in self.domains[name].at_stake()]

    def obligations(self) -> Obligations:
        """What was opened somewhere and is not closed yet, over all domains; for metrics."""
        return sum((d.obligations() for d in self.domains.values()), Obligations())

    def take_fallbacks(self) -> Mapping[str, int]:
        """Deliveries opened at a fallback since this was asked last, by the fallback's name; for metrics."""
        return _taken(self.domains[name].router.fallbacks for name in sorted(self.domains))

    def take_failures(self) -> Mapping[str, int]:
        """Diagnoses that failed since this was asked last, by traceback: defects of kroute. What was known stood meanwhile."""
        return _taken(self.domains[name].failures for name in sorted(self.domains))

    def take_forbidden(self) -> list[Forbidden]:
        """Controls that the policy did not let their realm give, since this was asked last."""
        found, self._forbidden = self._forbidden, []
        return found

    def entity_count(self) -> int:
        """Active symptoms over all domains; for metrics."""
        return sum(len(d.board.active) for d in self.domains.values())


def _taken(counts: Iterable[Counter[str]]) -> Counter[str]:
    """The counts of all domains together; each begins anew."""
    found: Counter[str] = Counter()
    for of_one in counts:
        found.update(of_one)
        of_one.clear()
    return found
