"""Change safety: drift between Terraform and the cluster, who reviews the policy, what anybody may create."""

from __future__ import annotations

from typing import Any

from kroute.contracts.inputs import TopicInfo
from kroute.readiness.model import Answer, Gathered, Question, few, judged, unknown

REVIEW_DAYS = 180
DAY_MS = 86_400_000


def _drift(g: Gathered) -> Answer:
    if g.terraform is None:
        return unknown(
            g.why("terraform", "no Terraform state was given"), "terraform show -json > state.json; --terraform state.json"
        )
    if g.topology is None:
        return unknown(g.why("topology", "the cluster was not read"))
    live = {t.name: t for t in g.topology.topics if not t.name.startswith("__")}
    found = [f"{n} (in Terraform, not in the cluster)" for n in sorted(g.terraform) if n not in live]
    found += [f"{n} (in the cluster, not in Terraform)" for n in sorted(live) if n not in g.terraform]
    for name in sorted(set(live) & set(g.terraform)):
        found += [f"{name} ({d})" for d in _differs(live[name], g.terraform[name])]
    return judged(found, f"{len(live)} topics are as Terraform says", "drift", "apply, or import what was made by hand")


def _differs(live: TopicInfo, wanted: dict[str, Any]) -> list[str]:
    out = []
    partitions = wanted.get("partitions", wanted.get("partitions_count"))
    if isinstance(partitions, int) and partitions != len(live.partitions):
        out.append(f"{len(live.partitions)} partitions, Terraform {partitions}")
    factor = wanted.get("replication_factor")
    have = min((len(p.replicas) for p in live.partitions), default=0)
    if isinstance(factor, int) and factor != have:
        out.append(f"{have} replicas, Terraform {factor}")
    config = wanted.get("config")
    for key, value in sorted(config.items()) if isinstance(config, dict) else ():
        if key in live.config and live.config[key] != str(value):
            out.append(f"{key} {live.config[key]}, Terraform {value}")
    return out


def _policy(g: Gathered) -> Answer:
    if g.policy is None:
        return unknown(g.why("policy", "no policy is in force: the built-in one holds"), "kroute policy apply FOLDER")
    version = g.policy.version
    last = next((c for c in reversed(g.history or []) if c.policy.version == version), None)
    if last is None:
        return Answer("gap", f"{version} is in force and stands in no history", "put it in force with kroute policy apply")
    age = (g.now_ms - last.at_ms) / DAY_MS
    seen = f"{version}, by {last.by} {age:.0f} days ago: {last.why}"
    if version.startswith("content-"):
        return Answer("gap", f"{seen}; it is no git commit", "keep the policy in git, and apply it from there")
    if age > REVIEW_DAYS:
        return Answer("gap", seen, f"review it: {REVIEW_DAYS} days are long")
    return Answer("pass", seen)


def _creation(g: Gathered) -> Answer:
    if g.broker_configs is None:
        return unknown(
            g.why("broker configuration", "broker configuration was not read"), "needs DESCRIBE_CONFIGS on the cluster"
        )
    free = [str(i) for i, c in sorted(g.broker_configs.items()) if c.get("auto.create.topics.enable", "true") == "true"]
    return judged(free, "topics are created on purpose only", "auto.create.topics.enable is true on broker", "set it to false")


def _access(g: Gathered) -> Answer:
    if g.acls is None:
        why = g.why("acls", "ACLs were not read")
        if "security" in why.lower() or "authorizer" in why.lower():
            return Answer("gap", f"anybody may do anything: {why}", "set authorizer.class.name")
        return unknown(why, "needs DESCRIBE on the cluster")
    wide = [
        f"{a['principal']} {a['operation']} on {a['resource']}"
        for a in g.acls
        if a.get("permission") == "ALLOW"
        and a.get("principal") == "User:*"
        and a.get("operation") in ("ALL", "WRITE", "ALTER", "DELETE")
    ]
    return judged(wide, f"{len(g.acls)} ACLs, none lets everybody write", "everybody may", "name principals")


def _changes(g: Gathered) -> Answer:
    if g.changes is None:
        return unknown(g.why("changes", "kroute.changes was not read"))
    here = [c for c in g.changes.values() if c.cluster in (g.cluster, "*")]
    if not here:
        return Answer(
            "gap", "no change was ever declared here", "let CI declare deploys, replays and reassignments (kroute change)"
        )
    kinds: dict[str, int] = {}
    for c in here:
        kinds[c.kind] = kinds.get(c.kind, 0) + 1
    undoable = sum(1 for c in here if c.rollback)
    seen = few(f"{n} {k}" for k, n in sorted(kinds.items(), key=lambda i: (-i[1], i[0])))
    return Answer("pass", f"declared: {seen}; {undoable} of {len(here)} say how to roll back")


QUESTIONS: tuple[Question, ...] = (
    Question("drift", "change", "Is the cluster as Terraform says?", _drift),
    Question("policy-review", "change", "Is the policy in force reviewed, and known by its commit?", _policy),
    Question("topic-creation", "change", "Are topics created on purpose only?", _creation),
    Question("access", "change", "Is there an authorizer, and does no ACL let everybody write?", _access),
    Question("declared-changes", "change", "Are changes declared?", _changes),
)
