"""Ownership metadata: coverage of topics, groups, connectors, principals and services, and whether owners can be reached."""

from __future__ import annotations

from collections.abc import Iterable

from kroute.readiness.model import Answer, Gathered, Question, few, judged, unknown

_NO_ROWS = "kroute ownership apply FOLDER, or give --ownership"


def _covered(g: Gathered, kind: str, names: Iterable[str] | None, not_read: str, none: str) -> Answer:
    if names is None:
        return unknown(not_read)
    found = sorted(set(names))
    if not found:
        return unknown(none)
    if g.ownership is None:
        return unknown(g.why("ownership", "no ownership rows were read"), _NO_ROWS)
    without, star = [], []
    for name in found:
        m = g.ownership.resolve(kind, g.cluster, name)
        service = g.ownership.resolve("service", g.cluster, m.row.service) if m is not None and m.row.service else None
        if m is None or not (m.row.owner or (service is not None and service.row.owner)):
            without.append(name)
        elif m.width == 0:
            star.append(name)
    share = f"{len(found) - len(without)} of {len(found)} have an owner"
    if without:
        return Answer("gap", f"{share}; not: {few(without)}", f"add {kind} rows for them")
    return judged(star, share, f"{share}, but by a bare * alone", "a * row says who is asked when nobody knows, not who owns it")


def _topics(g: Gathered) -> Answer:
    names = None if g.topology is None else [t.name for t in g.topology.topics if not t.name.startswith("__")]
    return _covered(g, "topic", names, g.why("topology", "the cluster was not read"), "the cluster has no topic")


def _groups(g: Gathered) -> Answer:
    names = None if g.lags is None else [x.group for x in g.lags]
    return _covered(g, "group", names, g.why("groups", "groups were not read"), "the cluster has no consumer group")


def _connectors(g: Gathered) -> Answer:
    names = None if g.connectors is None else [f"{c.connect}/{c.connector}" for c in g.connectors]
    return _covered(g, "connector", names, g.why("connect", "no Connect cluster was given"), "Connect has no connector")


def _principals(g: Gathered) -> Answer:
    if g.acls is None and g.quotas is None:
        return unknown(g.why("acls", "ACLs were not read"), "principals are known by their ACLs and quotas")
    names = {str(a["principal"]) for a in g.acls or () if a.get("principal") != "User:*"}
    names |= {f"User:{q['user']}" for q in g.quotas or () if q.get("user")}
    return _covered(g, "principal", names, "", "no ACL and no quota names a principal")


def _services(g: Gathered) -> Answer:
    if g.lags is None:
        return unknown(g.why("groups", "groups were not read"))
    if g.ownership is None:
        return unknown(g.why("ownership", "no ownership rows were read"), _NO_ROWS)
    if not g.lags:
        return unknown("the cluster has no consumer group")
    lacks = []
    for x in g.lags:
        m = g.ownership.resolve("group", g.cluster, x.group)
        service = m.row.service if m is not None else None
        connector = next((c for c in g.connectors or () if c.group == x.group), None)
        if service is None and connector is not None:
            c = g.ownership.resolve("connector", g.cluster, f"{connector.connect}/{connector.connector}")
            service = c.row.service if c is not None else None
        topic = x.partitions[0].topic if x.partitions else None
        objective = g.ownership.objective_s(g.cluster, x.group, topic)
        if service is None:
            lacks.append(f"{x.group} (no service)")
        elif objective is None:
            s = g.ownership.resolve("service", g.cluster, service)
            if s is None or s.row.slo is None or s.row.slo.freshness_s is None:
                lacks.append(f"{x.group} (no objective)")
    seen = f"{len(g.lags)} groups have a service and an objective"
    return judged(lacks, seen, "impact cannot be told for", "give group rows a service, and services freshness")


def _platform(g: Gathered) -> Answer:
    if g.ownership is None:
        return unknown(g.why("ownership", "no ownership rows were read"), _NO_ROWS)
    m = g.ownership.resolve("cluster", g.cluster, g.cluster)
    if m is None or not m.row.owner:
        return Answer("gap", f"cluster/{g.cluster}/{g.cluster} has no owner", "what nobody owns goes to team unowned")
    rest = [w for w in ("governance", "network") if getattr(m.row, w) is None]
    said = f"{m.row.owner}, by {m.via}" + (f"; {' and '.join(rest)} fall back to it" if rest else "")
    return Answer("pass", said)


def _reached(g: Gathered) -> Answer:
    if g.ownership is None:
        return unknown(g.why("ownership", "no ownership rows were read"), _NO_ROWS)
    teams = sorted({t for r in g.ownership.rows() for t in (r.owner, r.governance, r.network) if t})
    if not teams:
        return unknown("no row names a team", _NO_ROWS)
    lacks = []
    for team in teams:
        m = g.ownership.resolve("team", g.cluster, team)
        spec = g.policy.teams.get(team, {}) if g.policy is not None else {}
        if not any((m is not None and getattr(m.row, u)) or spec.get(u) for u in ("page", "ticket", "notify")):
            lacks.append(team)
    return judged(
        lacks, f"{len(teams)} teams have a destination", "no destination for", "add team rows with page, ticket and notify"
    )


QUESTIONS: tuple[Question, ...] = (
    Question("owned-topics", "ownership", "Has every topic an owner?", _topics),
    Question("owned-groups", "ownership", "Has every consumer group an owner?", _groups),
    Question("owned-connectors", "ownership", "Has every connector an owner?", _connectors),
    Question("owned-principals", "ownership", "Has every principal an owner?", _principals),
    Question("services", "ownership", "Is it known who feels each group's lag, and when it hurts?", _services),
    Question("platform-team", "ownership", "Is there a platform team?", _platform),
    Question("destinations", "ownership", "Can every team be reached?", _reached),
)
