"""What people state of the estate: ownership rows."""

from __future__ import annotations

from collections.abc import Iterator

from kroute.simulate.observe.delivery import Plain
from kroute.simulate.spec import CLUSTER, SOURCE_CLUSTER, Estate


def teams(e: Estate) -> list[str]:
    """Every team that owns something, sorted."""
    names = {e.platform_team, e.governance_team, e.network_team}
    for items in (e.topics, e.services, e.principals, e.systems, e.connectors):
        names |= {x.owner for x in items}
    return sorted(names)


def ownership(e: Estate) -> Iterator[Plain]:
    """All rows, as ``kroute.ownership`` carries them."""
    for team in teams(e):
        short = team.removeprefix("team-")
        yield {"kind": "team", "cluster": "*", "name": team, "page": f"pagerduty://{short}", "ticket": f"jira://{short}",
               "notify": f"slack://{short}"}  # fmt: skip
    for cluster in e.clusters:
        yield _row("cluster", cluster, cluster, owner=e.platform_team, governance=e.governance_team, network=e.network_team)
    for s in e.services:
        mine = sorted({g.principal for g in e.groups if g.service == s.name})
        read = {name for g in e.groups if g.service == s.name for name in g.topics}
        classes = sorted({x.data_class for x in e.topics if x.name in read and x.data_class} - {e.refused.get(s.name, "")})
        yield _row("service", CLUSTER, s.name, owner=s.owner, customer_function=s.function, slo={"freshness_s": s.freshness_s},
                   principals=mine, classes=classes, runbook=f"https://runbooks.example/{s.name}")  # fmt: skip
    for t in e.topics:
        row = _row("topic", t.cluster, t.name, owner=t.owner, service=t.service)
        if t.data_class:
            row["data_class"] = t.data_class
        if t.data_age_s:
            row["slo"] = {"data_age_s": round(t.data_age_s)}
        yield row
    for g in e.groups:
        service = e.service(g.service)
        row = _row("group", g.cluster, g.name, service=g.service, owner=service.owner)
        if g.read_committed:
            row["isolation"] = "read_committed"
        if g.batch_s:
            row["schedule"] = {"period_s": int(g.batch_s)}
        yield row
    for p in e.principals:
        writes = sorted({t.name for t in e.topics if p.name in t.producers})
        reads = sorted({g.name for g in e.groups if g.principal == p.name})
        yield _row("principal", CLUSTER, p.name, owner=p.owner, topics=writes, groups=reads)
    for x in e.systems:
        yield _row("system", CLUSTER, x.name, owner=x.owner)
    for c in e.connectors:
        yield _row("connector", CLUSTER, c.entity, owner=c.owner, service=c.service, system=c.system)
    if e.link is not None:
        yield _row("link", CLUSTER, e.link.name, owner=e.platform_team, source_cluster=SOURCE_CLUSTER, target_cluster=CLUSTER,
                   groups=list(e.link.groups), phase=e.link.phase)  # fmt: skip


def _row(kind: str, cluster: str, name: str, **fields: object) -> Plain:
    return {"kind": kind, "cluster": cluster, "name": name, **fields}
