"""Faults of a migration link: it copies too slowly, its groups are not promoted, both sides are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kroute.simulate.happening import Draft, Happening, NoRoom
from kroute.simulate.spec import CLUSTER, LINK_ROOM, SOURCE_CLUSTER, LinkSpec

if TYPE_CHECKING:
    from kroute.simulate.model import Model


def _link(d: Draft) -> LinkSpec:
    link = d.model.ix.estate.link
    if link is None:
        raise NoRoom("this estate has no migration link")
    d.free("link", [link.name])
    return link


def _row(d: Draft, phase: str) -> dict[str, object]:
    link = d.model.ix.estate.link
    assert link is not None
    return {
        "kind": "link", "cluster": CLUSTER, "name": link.name, "owner": d.model.ix.estate.platform_team,
        "source_cluster": SOURCE_CLUSTER, "target_cluster": CLUSTER, "groups": list(link.groups), "phase": phase,
    }  # fmt: skip


def _flow(m: Model) -> float:
    """Records/s that are written at this hour to what the link copies."""
    topics = m.ix.estate.topics
    copied = {t.name for t in topics if t.link}
    return sum(float(m.rates[m.i][i]) for i, t in enumerate(topics) if not t.link and t.name in copied)


def _lag(d: Draft) -> Happening:
    link = _link(d)
    fails = d.chance(0.4)
    left = d.uniform(0.05, 0.35)

    def effect(m: Model, level: float) -> None:
        m.k.link_errors = fails
        # Of what there is to copy at this hour: at night a slow link would keep up.
        m.k.link = left * LINK_ROOM * _flow(m) / link.capacity

    return Happening("migration-sync-lag", ("link", link.name), d.from_s, d.to_s, 0, effect, note="errors" if fails else "slow")


def _stuck(d: Draft) -> Happening:
    link = _link(d)
    done = int(d.rng.integers(0, len(link.groups)))
    stuck = d.model.ix.estate.groups[d.model.ix.groups[(CLUSTER, link.groups[done])]]
    owner = d.model.ix.estate.service(stuck.service).owner

    def begin(m: Model) -> None:
        m.s.promoted = max(m.s.promoted, done)

    def end(m: Model) -> None:
        m.s.promoted = len(link.groups)

    changes = [d.change("migration", ("link", link.name), d.from_s - 10, None, phase="promoting")]
    return Happening("migration-group-stuck", ("link", link.name), d.from_s, d.to_s, 0, None, begin, end, changes=changes,
                     rows=[(d.from_s - 10, _row(d, "promoting"))], owners={"action": owner}, note=stuck.name)  # fmt: skip


def _split(d: Draft) -> Happening:
    link = _link(d)
    link.phase = "promoted"
    d.model.cut_over = True
    d.model.s.promoted = len(link.groups)
    back = link.groups[int(d.rng.integers(len(link.groups)))]
    share = d.uniform(0.05, 0.6)

    def begin(m: Model) -> None:
        old = m.ix.groups[(SOURCE_CLUSTER, back)]
        m.s.group_on[old] = True
        m.split_writes = share

    def end(m: Model) -> None:
        m.s.group_on[m.ix.groups[(SOURCE_CLUSTER, back)]] = False
        m.split_writes = 0.0

    return Happening(
        "migration-split-brain", ("link", link.name), d.from_s, d.to_s, 0, None, begin, end, note=f"{back} came back"
    )


MAKERS = {
    "migration-sync-lag": _lag,
    "migration-group-stuck": _stuck,
    "migration-split-brain": _split,
}
