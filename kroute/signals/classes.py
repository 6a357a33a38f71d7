"""Who reads a classed topic from outside its class (``kroute.consumer-lag`` against what rows state). Rule A1."""

from __future__ import annotations

import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.inputs import ConsumerLag
from kroute.signals import rowkeys
from kroute.signals.board import Board
from kroute.signals.model import DEFAULT_INTERVAL_MS, Knowledge, Rows, Src, Symptom
from kroute.signals.table import ACCESS

KIND = "class-violation"
JUDGED = frozenset({KIND})
HEAD = "cls"
CLEAR_POLLS = 3
MOST_GROUPS = 20


class _Reader(msgspec.Struct, array_like=True):
    since_ms: int
    at_ms: int
    clean: int
    """Polls in a row in which the group did not read the topic, or was allowed to."""
    why: str


_DECODER = msgspec.msgpack.Decoder(dict[str, _Reader])


class ClassReaders:
    """Groups that read a topic which their service has no right to, per topic. Rows: table ``entities``, keys ``cls|…``."""

    def __init__(self, board: Board, rows: Rows, knowledge: Knowledge) -> None:
        self._board = board
        self._rows = rows
        self._known = knowledge
        self._readers: dict[Entity, dict[str, _Reader]] = {}
        self._of_group: dict[Entity, dict[Entity, None]] = {}

    def observe(self, src: Src, m: ConsumerLag, now_ms: int) -> None:
        """One poll of one group: what it reads now against what it may."""
        group = Entity("group", m.cluster, m.group)
        held = self._of_group.get(group)
        if not m.up or (not held and not self._known.classed()):
            return
        reads = _reads(m)
        if reads is None:
            return
        every = m.interval_ms or DEFAULT_INTERVAL_MS
        topics = {Entity("topic", m.cluster, t): None for t in reads} | (held or {})
        for topic in sorted(topics):
            principals = reads.get(topic.name)
            why = None if principals is None else self._known.outside_class(m.cluster, m.group, topic.name, principals)
            if why is None and topic not in (held or {}):
                if principals is not None and topic not in self._readers and self._known.data_class(m.cluster, topic.name):
                    self._board.report(ACCESS, topic, m.observed_at_ms, every, JUDGED)
                continue
            self._note(group, topic, why, m.observed_at_ms, gone=m.state == "Dead")
            self._report(src, topic, m.observed_at_ms, every)

    def _note(self, group: Entity, topic: Entity, why: str | None, at_ms: int, *, gone: bool) -> None:
        readers = self._readers.setdefault(topic, {})
        r = readers.get(group.name)
        if r is None:
            r = readers[group.name] = _Reader(at_ms, -1, 0, "")
            self._of_group.setdefault(group, {})[topic] = None
        if at_ms <= r.at_ms:
            return
        r.at_ms = at_ms
        r.clean = 0 if why is not None else r.clean + 1
        r.why = why or r.why
        if gone or r.clean >= CLEAR_POLLS:
            del readers[group.name]
            self._unlink(group, topic)
        if readers:
            self._rows.put("entities", rowkeys.join(HEAD, topic.cluster, topic.name), msgspec.msgpack.encode(readers))
        else:
            del self._readers[topic]
            self._rows.drop("entities", rowkeys.join(HEAD, topic.cluster, topic.name))

    def _unlink(self, group: Entity, topic: Entity) -> None:
        mine = self._of_group[group]
        del mine[topic]
        if not mine:
            del self._of_group[group]

    def _report(self, src: Src, topic: Entity, at_ms: int, every: int) -> None:
        readers = self._readers.get(topic, {})
        if not readers:
            self._board.report(ACCESS, topic, at_ms, every, JUDGED)
            return
        names = sorted(readers)
        why = f"{names[0]} reads it: {readers[names[0]].why}" + (f"; and {len(names) - 1} more groups" if len(names) > 1 else "")
        found = Symptom(
            kind=KIND, entity=topic, since_ms=min(r.since_ms for r in readers.values()), last_ms=at_ms,
            value=float(len(names)), why=why, topic_src=src.topic, partition_src=src.partition, offset_src=src.offset,
            detail={"groups": names[:MOST_GROUPS]},
        )  # fmt: skip
        self._board.report(ACCESS, topic, at_ms, every, JUDGED, (found,))

    def load(self, key: str, value: bytes) -> None:
        """One row of ``entities`` whose key begins with ``cls|``, at recovery."""
        _, cluster, name = rowkeys.split(key)
        topic = Entity("topic", cluster, name)
        self._readers[topic] = _DECODER.decode(value)
        for group in self._readers[topic]:
            self._of_group.setdefault(Entity("group", cluster, group), {})[topic] = None


def _reads(m: ConsumerLag) -> dict[str, tuple[str, ...]] | None:
    """Topic that the group reads now → principals that do; None where that cannot be told at this moment.

    Who reads is told by the members' assignments; where those are not collected, by the commits of a group that is not
    empty.
    """
    if m.state in ("Empty", "Dead"):
        return {}
    held: dict[str, dict[str, None]] = {}
    for x in m.members or ():
        for topic, parts in x.assignment:
            if parts:
                held.setdefault(topic, {}).update({x.principal: None} if x.principal else {})
    if held:
        return {t: tuple(ps) for t, ps in held.items()}
    if m.members is not None and m.state != "Stable":
        return None  # between two assignments
    principals = tuple(dict.fromkeys(x.principal for x in m.members or () if x.principal))
    return {p.topic: principals for p in m.partitions if p.committed is not None}
