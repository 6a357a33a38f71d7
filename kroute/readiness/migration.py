"""Migration readiness: topics in sync, groups moved, and the way back drilled. Judged where a link row names the cluster."""

from __future__ import annotations

from kroute.contracts.rows import Ownership
from kroute.readiness.model import Answer, Gathered, Question, few, judged, unknown
from kroute.routing.patterns import pattern

DRILL_DAYS = 90
DAY_MS = 86_400_000


def _links(g: Gathered) -> list[Ownership]:
    rows = g.ownership.rows() if g.ownership is not None else []
    return [r for r in rows if r.kind == "link" and g.cluster in (r.source_cluster, r.target_cluster)]


def _none(g: Gathered) -> Answer:
    if g.ownership is None:
        return unknown(g.why("ownership", "no ownership rows were read"))
    return unknown("no link row names this cluster: nothing is migrated", "add a link row before a migration")


def _sync(g: Gathered) -> Answer:
    links = _links(g)
    if not links:
        return _none(g)
    if g.topology is None:
        return unknown(g.why("topology", "the cluster was not read"))
    stated = [(r, t) for r in links for t in r.topics]
    if not stated:
        return unknown(f"link {few(r.name for r in links)} names no topics", "give the link row its topics")
    live = {t.name for t in g.topology.topics}
    missing = [f"{t} of {r.name}" for r, t in stated if not any(pattern(t).matches(n) for n in live)]
    return judged(
        missing,
        f"all topics of {few(r.name for r in links)} are here",
        "not here",
        "lag of the link itself is judged from its signals (link_lag)",
    )


def _groups(g: Gathered) -> Answer:
    links = [r for r in _links(g) if r.target_cluster == g.cluster]
    if not links:
        return _none(g) if not _links(g) else unknown("this is the source of its link: groups are counted at the target")
    if g.lags is None:
        return unknown(g.why("groups", "groups were not read"))
    stated = [(r, n) for r in links for n in r.groups]
    if not stated:
        return unknown(f"link {few(r.name for r in links)} names no groups", "give the link row its groups")
    here = {x.group for x in g.lags if any(p.committed is not None for p in x.partitions)}
    waiting = [f"{n} of {r.name}" for r, n in stated if not any(pattern(n).matches(h) for h in here)]
    return judged(
        waiting,
        f"{len(stated)} groups have commits here",
        f"{len(waiting)} of {len(stated)} groups have no commit here",
        "promote them, or let them start from translated offsets",
    )


def _drill(g: Gathered) -> Answer:
    links = _links(g)
    if not links:
        return _none(g)
    if g.changes is None:
        return unknown(g.why("changes", "kroute.changes was not read"))
    drills = [
        c for c in g.changes.values()
        if c.kind == "drill" and str(c.detail.get("cause", "")).startswith("migration-") and c.cluster in (g.cluster, "*")
    ]  # fmt: skip
    passed = [c for c in drills if c.detail.get("result") == "passed" and g.now_ms - c.starts_at_ms <= DRILL_DAYS * DAY_MS]
    if passed:
        last = max(passed, key=lambda c: c.starts_at_ms)
        return Answer("pass", f"{last.id} passed {(g.now_ms - last.starts_at_ms) // DAY_MS} days ago")
    seen = (
        f"{len(drills)} drills of a migration, none passed in {DRILL_DAYS} days"
        if drills
        else "no drill of a migration is recorded"
    )
    return Answer("gap", seen, "drill the way back once before cutover, and declare it: kroute change drill")


def _dual(g: Gathered) -> Answer:
    links = _links(g)
    if not links:
        return _none(g)
    open_ = [f"{r.name} ({r.phase or 'no phase'})" for r in links if r.dual_run_until is None or r.phase is None]
    return judged(
        open_,
        f"{len(links)} links state a phase and an end of dual run",
        "no phase or no end of dual run",
        "split brain is judged by them",
    )


QUESTIONS: tuple[Question, ...] = (
    Question("topic-sync", "migration", "Are the topics of the migration here?", _sync),
    Question("group-progress", "migration", "Have the groups of the migration moved?", _groups),
    Question("rollback-drill", "migration", "Was the way back drilled?", _drill),
    Question("dual-run", "migration", "Do links state their phase and the end of dual run?", _dual),
)
