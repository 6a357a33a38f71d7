"""What a migration leaves behind: groups and topics on the source of a link that is promoted. Rule L24.

After the cutover the source must stand still; who still commits or produces there has split the data in two. That it
stands still is what was meant: neither a stopped consumer nor a silent producer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

from kroute.contracts.common import Entity
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.lag.group import Group
from kroute.signals.lag.ring import Ints
from kroute.signals.mirrors import mirrored_names
from kroute.signals.model import Knowledge, Link, Symptom
from kroute.signals.table import LAG

KIND = "link-both-sides"
JUDGED = frozenset({KIND})
GAPS = 3
"""Gaps between polls in which offsets must have moved, the newest among them, to be in use."""
MOST_NAMES = 10


class Cutovers:
    """Links of one domain, looked at with every poll of a group on their source. Keeps nothing of its own."""

    def __init__(self, estate: Estate, board: Board, knowledge: Knowledge, groups: Mapping[Entity, Group]) -> None:
        self._estate = estate
        self._board = board
        self._known = knowledge
        self._groups = groups
        self.promoted: Callable[[Entity], bool] = lambda _link: False
        """Whether the link itself says that it is promoted (its scrapes do)."""

    def left(self, group: Entity) -> bool:
        """True for a group of a link's source whose place is, or soon will be, on the target."""
        return any(group.name in x.groups and self._leaves(x) for x in self._known.links_from(group.cluster))

    def link_of(self, topic: Entity) -> str:
        """The link whose groups read the topic, here or as a mirror on the target; empty where there is none."""
        links = self._known.links_from(topic.cluster)
        if not links:
            return ""
        readers = {g.name for g in self._estate.related(topic, "consumers")}
        return next((x.entity.name for x in links if not readers.isdisjoint(x.groups) or self._mirrored(topic, x)), "")

    def leaves(self, topic: Entity, link: str) -> bool:
        """True for a topic of this link when its clients leave: its producers go elsewhere too."""
        return any(x.entity.name == link and self._leaves(x) for x in self._known.links_from(topic.cluster))

    def _mirrored(self, topic: Entity, link: Link) -> bool:
        """The link's groups read the topic's mirror on the target."""
        there = (t for e in self._of(link, link.target) for t in self._groups[e].ring.topics)
        return any(topic.name in mirrored_names(t) for t in there)

    def _leaves(self, link: Link) -> bool:
        return link.phase in ("promoting", "promoted") or self.promoted(link.entity)

    def observe(self, cluster: str, t: int, interval_ms: int, src: tuple[str, int, int]) -> None:
        """A group of this cluster was polled, or went: judge the links that have it as their source."""
        for link in self._known.links_from(cluster):
            promoted = link.phase == "promoted" or self.promoted(link.entity)
            if not promoted or t < (link.dual_run_until_ms or 0) or not self._of(link, link.source):
                self._say(link, t, interval_ms, src, [])
            elif self._any_known(link):
                used = self._used(link, link.source)
                there = [self._groups[e] for e in self._of(link, link.target)]
                # Where the target is seen, and nobody is there, everybody went back: one side alone is in use.
                split = used and (not there or bool(self._used(link, link.target)))
                self._say(link, t, interval_ms, src, used if split else [])

    def _of(self, link: Link, cluster: str) -> list[Entity]:
        return [e for n in link.groups if (e := Entity("group", cluster, n)) in self._groups and self._groups[e].ring.n]

    def _any_known(self, link: Link) -> bool:
        return any(self._groups[e].ring.n > GAPS for e in self._of(link, link.source))

    def _used(self, link: Link, cluster: str) -> list[tuple[str, str, int]]:
        """(what moves, its name, since when) of the link's groups and their topics in one cluster."""
        out: dict[tuple[str, str], int] = {}
        for e in self._of(link, cluster):
            ring = self._groups[e].ring
            n = ring.n
            if n <= GAPS:
                continue
            polls, c, ends = ring.polls, ring.committed[:n], ring.stable[:n] + ring.gap[:n]
            since = polls[n - 1 - GAPS].t
            if polls[-1].state not in ("Empty", "Dead") and _moves(c):
                out[("group", e.name)] = since
            for topic in ring.topics:
                if _moves(ends[:, ring.slices[topic]]):
                    out.setdefault(("topic", topic), since)
        return [(what, name, since) for (what, name), since in sorted(out.items())]

    def _say(
        self, link: Link, t: int, interval_ms: int, src: tuple[str, int, int], used: list[tuple[str, str, int]]
    ) -> None:  # fmt: skip
        if not used:
            self._board.report(LAG, link.entity, t, interval_ms, JUDGED)
            return
        groups = [n for what, n, _ in used if what == "group"]
        topics = [n for what, n, _ in used if what == "topic"]
        said = [f"{', '.join(groups[:3])} commits" if groups else "", f"{', '.join(topics[:3])} is written" if topics else ""]
        why = f"{' and '.join(x for x in said if x)} on {link.source} although the link is promoted to {link.target}"
        found = Symptom(
            kind=KIND, entity=link.entity, since_ms=min(s for _, _, s in used), last_ms=t, value=float(len(used)), why=why,
            topic_src=src[0], partition_src=src[1], offset_src=src[2],
            detail={"groups": groups[:MOST_NAMES], "topics": topics[:MOST_NAMES]},
        )  # fmt: skip
        self._board.report(LAG, link.entity, t, interval_ms, JUDGED, (found,))


def _moves(offsets: Ints) -> bool:
    """True when known offsets went up within the newest gap and in most of the newest ``GAPS``."""
    newest = offsets[-1 - GAPS :]
    known = (newest >= 0).all(axis=0)
    if not known.any():
        return False
    sums = newest[:, known].sum(axis=1)
    up = [int(b) > int(a) for a, b in pairwise(sums.tolist())]
    return up[-1] and sum(up) * 2 > len(up)
