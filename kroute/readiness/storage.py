"""Storage and recovery: replicas, min-ISR, placement over racks, log directories, quorum, platform."""

from __future__ import annotations

from kroute.contracts.inputs import TopicInfo
from kroute.readiness.model import Answer, Gathered, Question, few, judged, unknown

REPLICAS, MIN_ISR, VOTERS = 3, 2, 3
FULL = 0.85


def _replicas(g: Gathered) -> Answer:
    if (t := g.topology) is None:
        return unknown(g.why("topology", "the cluster was not read"))
    if _platform_of(g) == "automq":
        return Answer("pass", "AutoMQ keeps data in the object store: replicas are not what makes it durable")
    topics = [x for x in t.topics if not x.name.startswith("__")]
    if not topics:
        return unknown("the cluster has no topic")
    few_ = [f"{x.name} ({n})" for x in topics if (n := _rf(x)) < REPLICAS]
    return judged(
        few_,
        f"{len(topics)} topics have {REPLICAS} replicas or more",
        f"under {REPLICAS} replicas",
        "one broker's disk is all that stands between them and loss",
    )


def _min_isr(g: Gathered) -> Answer:
    if (t := g.topology) is None:
        return unknown(g.why("topology", "the cluster was not read"))
    if _platform_of(g) == "automq":
        return Answer("pass", "AutoMQ acknowledges when the WAL is durable: min.insync.replicas does not apply")
    told = [x for x in t.topics if "min.insync.replicas" in x.config and not x.name.startswith("__")]
    if not told:
        return unknown(g.why("topic configuration", "no topic's configuration was read"), "needs DESCRIBE_CONFIGS on topics")
    weak = [f"{x.name} ({n} of {_rf(x)})" for x in told if (n := int(x.config["min.insync.replicas"])) < MIN_ISR or n >= _rf(x)]
    return judged(
        weak,
        f"{len(told)} topics keep {MIN_ISR} in sync and may lose one broker",
        "min.insync.replicas too low to be safe, or too high to lose a broker",
        "set 2 of 3",
    )


def _placement(g: Gathered) -> Answer:
    if (t := g.topology) is None:
        return unknown(g.why("topology", "the cluster was not read"))
    racks = {b.id: b.rack for b in t.brokers if b.state != "gone"}
    named = sorted({r for r in racks.values() if r})
    if not named:
        return unknown("no broker tells a rack", "set broker.rack on every broker")
    if len(named) == 1:
        return Answer("gap", f"all brokers are in one rack: {named[0]}", "one rack's end is the cluster's end")
    lame = [str(i) for i, r in sorted(racks.items()) if not r]
    if lame:
        return Answer("gap", f"brokers without a rack: {few(lame)}", "set broker.rack on every broker")
    bad = [
        f"{x.name}/{p.id}"
        for x in t.topics
        for p in x.partitions
        if len(p.replicas) > 1 and len({racks.get(b) for b in p.replicas}) < min(len(p.replicas), len(named))
    ]
    return judged(bad, f"replicas spread over {len(named)} racks", "replicas that share a rack", "reassign them rack by rack")


def _in_sync(g: Gathered) -> Answer:
    if (t := g.topology) is None:
        return unknown(g.why("topology", "the cluster was not read"))
    parts = [(x.name, p) for x in t.topics for p in x.partitions]
    if not parts:
        return unknown("the cluster has no partition")
    off = [f"{n}/{p.id}" for n, p in parts if p.leader is None or p.leader < 0]
    if off:
        return Answer("gap", f"offline: {few(off)}", "bring back a broker that holds a replica")
    behind = [f"{n}/{p.id}" for n, p in parts if len(p.isr) < len(p.replicas)]
    moving = sum(1 for _, p in parts if p.adding or p.removing)
    seen = f"{len(parts)} partitions have all replicas in sync" + (f", {moving} are being moved" if moving else "")
    return judged(behind, seen, "under-replicated", "wait for catch-up, or see to the broker that all of them miss")


def _log_dirs(g: Gathered) -> Answer:
    if (t := g.topology) is None:
        return unknown(g.why("topology", "the cluster was not read"))
    dirs = [(b.id, d) for b in t.brokers for d in b.log_dirs]
    if not dirs:
        why = next((v for k, v in sorted(g.unable.items()) if k.startswith("log dirs")), "no broker told its log directories")
        return unknown(why, "needs DESCRIBE on the cluster")
    failed = [f"{d.path} on {i} ({d.error})" for i, d in dirs if d.error]
    if failed:
        return Answer("gap", f"offline: {few(failed)}", "replace the disk, then reassign")
    sized = [(i, d, 1 - d.usable_bytes / d.total_bytes) for i, d in dirs if d.total_bytes and d.usable_bytes is not None]
    if not sized:
        return unknown(f"{len(dirs)} log directories, none tells its size", "needs Kafka 3.3 or later (KIP-827)")
    full = [f"{d.path} on {i} ({u:.0%})" for i, d, u in sized if u > FULL]
    most = max(u for _, _, u in sized)
    return judged(
        full, f"{len(sized)} log directories, the fullest at {most:.0%}", f"over {FULL:.0%} full", "move leaders or extend"
    )


def _quorum(g: Gathered) -> Answer:
    if (t := g.topology) is None:
        return unknown(g.why("topology", "the cluster was not read"))
    c = t.controller
    if c is None:
        return unknown(g.why("quorum", "the metadata quorum was not read"), "needs KRaft, and DESCRIBE on the cluster")
    late = [f"{v.id} ({v.lag} records)" for v in c.quorum if v.lag is not None and v.lag > 1000]
    if len(c.voters) < VOTERS:
        return Answer("gap", f"{len(c.voters)} voters: {few(map(str, c.voters))}", "three voters survive the loss of one")
    return judged(
        late, f"{len(c.voters)} voters, leader {c.leader}, none behind", "voters behind", "see to their disks and network"
    )


def _internal(g: Gathered) -> Answer:
    if (t := g.topology) is None:
        return unknown(g.why("topology", "the cluster was not read"))
    inner = [x for x in t.topics if x.name.startswith("__")]
    if not inner:
        return unknown("no group has committed and no transaction run: internal topics do not exist yet")
    weak = [f"{x.name} ({n})" for x in inner if (n := _rf(x)) < REPLICAS]
    return judged(
        weak,
        f"{few(x.name for x in inner)}: {REPLICAS} replicas",
        f"under {REPLICAS} replicas",
        "offsets and transactions are lost with the one broker",
    )


def _platform(g: Gathered) -> Answer:
    found = _platform_of(g)
    if found is None:
        return unknown(
            g.why("broker configuration", "broker configuration was not read"), "needs DESCRIBE_CONFIGS on the cluster"
        )
    what = {
        "automq": "AutoMQ: a broker holds no data, leadership moves in seconds",
        "kafka": "Apache Kafka: a broker's disk is its data",
    }
    return Answer("pass", what[found])


def _platform_of(g: Gathered) -> str | None:
    if g.topology is not None and g.topology.platform:
        return g.topology.platform
    if g.broker_configs is None:
        return None
    marks = ("s3.data.buckets", "elasticstream.enable", "automq.")
    return "automq" if any(k.startswith(marks) for c in g.broker_configs.values() for k in c) else "kafka"


def _rf(t: TopicInfo) -> int:
    return min((len(p.replicas) for p in t.partitions), default=0)


QUESTIONS: tuple[Question, ...] = (
    Question("replicas", "storage", "Has every topic enough replicas?", _replicas),
    Question("min-isr", "storage", "Does min.insync.replicas protect writes and allow the loss of a broker?", _min_isr),
    Question("racks", "storage", "Are replicas spread over racks?", _placement),
    Question("in-sync", "storage", "Is every replica in sync now?", _in_sync),
    Question("log-dirs", "storage", "Are log directories well and not full?", _log_dirs),
    Question("quorum", "storage", "Does the metadata quorum survive the loss of a voter?", _quorum),
    Question("internal-topics", "storage", "Are offsets and transactions replicated?", _internal),
    Question("platform", "storage", "Is the platform known?", _platform),
)
