"""The five kinds of evidence before automation: compatibility, cost, governance, recovery, automation itself.

The first four follow from the rows above: as good as the worst of them. The fifth looks at grants and drills.
"""

from __future__ import annotations

from collections.abc import Mapping

from kroute.readiness.model import Answer, Gathered, Row, few, judged, unknown

DAY_MS = 86_400_000
FROM: dict[str, tuple[str, tuple[str, ...]]] = {
    "compatibility": (
        "Do clients, groups and versions behave as kroute reads them?",
        ("groups", "client-versions", "kafka-version", "transactions", "platform"),
    ),
    "cost": (
        "Is it known what traffic costs, and bounded?",
        ("cross-zone", "follower-fetching", "replay-traffic", "replay-bounds"),
    ),
    "governance": (
        "Is everything owned, reachable and reviewed?",
        ("owned-topics", "owned-groups", "services", "platform-team", "destinations", "policy-review", "access"),
    ),
    "recovery": (
        "Does the cluster survive a loss, and is the way back known?",
        ("replicas", "min-isr", "racks", "in-sync", "quorum", "internal-topics", "declared-changes"),
    ),
}
"""Kind of evidence → its question, and the rows it rests on."""


def derived(rows: Mapping[str, Row]) -> list[Row]:
    """One row for each of the first four kinds."""
    out = []
    for kind, (question, ids) in FROM.items():
        gaps = [i for i in ids if rows[i].state == "gap"]
        dark = [i for i in ids if rows[i].state == "unknown"]
        state, evidence = "pass", f"all of {', '.join(ids)}"
        if gaps:
            state, evidence = "gap", "gap: " + ", ".join(gaps) + (f"; unknown: {', '.join(dark)}" if dark else "")
        elif dark:
            state, evidence = "unknown", f"unknown: {', '.join(dark)}"
        advice = "" if state == "pass" else "see those rows"
        out.append(Row(id=kind, area="automation", question=question, state=state, evidence=evidence, advice=advice))  # type: ignore[arg-type]
    return out


def automation(g: Gathered) -> Answer:
    """Grants that hold, each with a young drill of its cause and remedy that passed."""
    if g.policy is None:
        return unknown(g.why("policy", "no policy is in force"), "nothing is automated without a grant in a policy")
    if g.changes is None:
        return unknown(g.why("changes", "kroute.changes was not read"))
    grants = g.policy.automation.grants
    if not grants:
        return Answer("gap", "the policy grants nothing: every remedy is proposed to a person", "grant by name what was drilled")
    lacks = []
    for grant in grants:
        age = grant.drill_age_d()
        limit = g.policy.numbers.drill_age_d if age is None else age
        until = grant.until_ms()
        if until is not None and until < g.now_ms:
            lacks.append(f"{grant.name} (ended)")
        elif not any(
            c.kind == "drill" and c.detail.get("remedy") == grant.remedy and c.detail.get("result") == "passed"
            and (not grant.when.causes() or c.detail.get("cause") in grant.when.causes())
            and 0 <= g.now_ms - c.starts_at_ms <= limit * DAY_MS
            for c in g.changes.values()
        ):  # fmt: skip
            lacks.append(f"{grant.name} (no drill of {grant.remedy} passed in {limit:g} days)")
    return judged(
        lacks,
        f"{few(x.name for x in grants)}: granted and drilled",
        "not to be relied on",
        "drill, and declare it: kroute change drill",
    )
