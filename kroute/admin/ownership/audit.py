"""What a set of rows leaves open: who would be reached by a fallback, and what a person at night would miss.

Numbered findings, each with the row it is about. They are no mistakes of a file (those are ``check``'s): an estate with
findings works, and pages the platform team more than it should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from kroute.contracts.common import Entity
from kroute.contracts.rows import Ownership
from kroute.routing.ownership import OwnershipIndex
from kroute.signals.model import Rows


class Finding(NamedTuple):
    """``rule``: its name, stable. ``about``: ``kind/cluster/name``. ``text``: what is missing and what follows from it."""

    rule: str
    about: str
    text: str


RULES: dict[str, str] = {
    "no-owner": "a row with no owner, and none to be had from its service",
    "no-team": "an owner without a team row: nobody is reached",
    "no-destination": "a team that owns something and has no destination",
    "no-page": "a team that owns something of tier 1 and has no destination for a page",
    "no-service": "a group or connector that belongs to no service: who feels its trouble is not known",
    "no-objective": "a service with no objective, nor any of its groups: it can never be breached",
    "no-customer-function": "a service that does not say what people lose when it lags",
    "no-runbook": "an owner that may be asked to act and gives no runbook",
    "no-platform": "a cluster without a platform team",
    "no-system": "a connector whose outside system is not named",
    "dual-run-over": "a migration whose dual run should have ended",
    "idle-team": "a team that owns nothing",
    "two-partitions": "a key that stands in two partitions: an older row may come back",
    "not-covered": "a thing of the estate that no row covers",
    "star-only": "a thing of the estate that is covered by a bare * alone",
}
"""Every finding's name and what it means."""


def audit(rows: Mapping[str, Ownership], now_ms: int, seen: Iterable[Entity] = ()) -> list[Finding]:
    """All findings, by rule and row. ``seen``: entities of the live estate."""
    known = OwnershipIndex(Rows())
    for key, row in rows.items():
        known.put(key, b"", row)
    state = _State(rows, known, now_ms)
    found = [f for rule in _RULES for f in rule(state)]
    found += _coverage(known, seen)
    order = list(RULES)
    return sorted(found, key=lambda f: (order.index(f.rule), f.about))


class _State(NamedTuple):
    rows: Mapping[str, Ownership]
    known: OwnershipIndex
    now_ms: int

    def of(self, *kinds: str) -> Iterator[tuple[str, Ownership]]:
        return ((k, r) for k, r in self.rows.items() if r.kind in kinds)


def _owners(s: _State) -> Iterator[Finding]:
    for key, r in s.of("service", "topic", "group", "connector", "system", "principal", "cluster", "link"):
        if r.owner is not None:
            continue
        m = s.known.resolve("service", r.cluster, r.service) if r.service else None
        if m is None or m.row.owner is None:
            yield Finding("no-owner", key, f"its trouble goes to the platform team of {r.cluster}, as a fallback")


def _teams(s: _State) -> Iterator[Finding]:
    owned: dict[str, list[Ownership]] = {}
    for key, r in s.rows.items():
        for team in dict.fromkeys(t for t in (r.owner, r.governance, r.network) if t):
            owned.setdefault(team, []).append(r)
            if s.known.resolve("team", r.cluster, team) is None:
                yield Finding("no-team", key, f"{team} has no row team/*/{team}")
    for key, r in s.of("team"):
        mine = owned.get(r.name, [])
        if not mine:
            yield Finding("idle-team", key, "it owns nothing")
        elif not (r.page or r.ticket or r.notify):
            yield Finding("no-destination", key, f"it owns {len(mine)} rows; alerts go to team:{r.name}, if a notifier knows it")
        elif not r.page and any(x.labels.get("tier") == "1" for x in mine):
            yield Finding("no-page", key, "it owns something of tier 1; a page goes to its ticket or notify destination")


def _services(s: _State) -> Iterator[Finding]:
    of_service: dict[str, bool] = {}
    for key, r in s.of("group", "connector"):
        if r.service is None:
            yield Finding("no-service", key, "name its service, which says who feels it and what its objective is")
        elif r.slo is not None and r.slo.freshness_s is not None:
            of_service[r.service] = True
    for key, r in s.of("service"):
        if (r.slo is None or (r.slo.freshness_s is None and r.slo.data_age_s is None)) and not of_service.get(r.name):
            yield Finding("no-objective", key, "give freshness")
        if r.customer_function is None:
            yield Finding("no-customer-function", key, "give customer_function")
    for key, r in s.of("service", "system", "cluster", "connector"):
        if r.owner is not None and r.runbook is None:
            yield Finding("no-runbook", key, f"{r.owner} is told to act and not where to read how")


def _estate(s: _State) -> Iterator[Finding]:
    clusters = dict.fromkeys(r.cluster for r in s.rows.values() if "*" not in r.cluster)
    for c in sorted(clusters):
        m = s.known.resolve("cluster", c, c)
        if m is None or m.row.owner is None:
            yield Finding("no-platform", f"cluster/{c}/{c}", "what has no owner goes to team unowned")
    for key, r in s.of("connector"):
        if r.system is None:
            yield Finding("no-system", key, "who acts when its other end is slow is not known")
    for key, r in s.of("link"):
        until = _ms(r.dual_run_until)
        if until is not None and until < s.now_ms:
            yield Finding("dual-run-over", key, f"dual_run_until was {r.dual_run_until}")


_RULES: tuple[Callable[[_State], Iterator[Finding]], ...] = (_owners, _teams, _services, _estate)


def _coverage(known: OwnershipIndex, seen: Iterable[Entity]) -> Iterator[Finding]:
    for e in sorted(set(seen)):
        m = known.resolve(e.kind, e.cluster, e.name)
        about = f"{e.kind}/{e.cluster}/{e.name}"
        if m is None:
            yield Finding("not-covered", about, "no row names it")
        elif m.width == 0:
            yield Finding("star-only", about, f"only {m.via} names it")


def _ms(value: str | int | None) -> int | None:
    if isinstance(value, int):
        return value
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)
