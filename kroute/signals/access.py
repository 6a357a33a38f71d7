"""Denials that the clusters' authorizers report (``kroute.access``). Rule A2."""

from __future__ import annotations

from typing import Any

import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.inputs import Access
from kroute.signals import rowkeys
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.metric_rules import number
from kroute.signals.model import Knowledge, Rows, Src, Symptom
from kroute.signals.ring import learnt_interval
from kroute.signals.table import ACCESS

KIND = "access-denied"
JUDGED = frozenset({KIND})
AT_ONCE = 5
"""Denials in one poll that fire at once; fewer must come in two polls in a row."""
CLEAR_POLLS = 3
MOST_PRINCIPALS = 500
MOST_RESOURCES = 10


class _Denied(msgspec.Struct, array_like=True):
    since_ms: int
    polls: int
    """Polls in a row with denials."""
    clean: int
    """Polls in a row without."""
    resources: list[str]


class _State(msgspec.Struct, array_like=True):
    """Newest poll of one cluster; ``down``: the newest poll failed."""

    cluster: str
    at_ms: int
    every_ms: int
    times: list[int]
    got: int
    down: bool
    denied: dict[str, _Denied]


_DECODER = msgspec.msgpack.Decoder(_State)


class AccessWindows:
    """Denied requests per principal. Rows: table ``entities``, keys ``acc|…``."""

    def __init__(self, estate: Estate, board: Board, rows: Rows, knowledge: Knowledge) -> None:
        self._board = board
        self._rows = rows
        self._states: dict[str, _State] = {}

    def observe(self, src: Src, m: Access, now_ms: int) -> None:
        """Take one poll; one that is not newer than the newest seen is ignored."""
        state = self._states.get(m.cluster)
        if state is None:
            state = self._states[m.cluster] = _State(m.cluster, -1, 0, [], 0, False, {})
        more = m.parts > 1 and m.observed_at_ms == state.at_ms and not state.got >> m.part & 1 and not state.down
        if m.observed_at_ms <= state.at_ms and not more:
            return
        if not more:
            state.times = [*state.times[-3:], m.observed_at_ms]
            state.got = 0
        state.at_ms, state.every_ms, state.down = m.observed_at_ms, m.interval_ms or state.every_ms, not m.up
        state.got |= 1 << m.part
        every = state.every_ms or learnt_interval(state.times)
        if not m.up:
            for name in sorted(state.denied):
                self._board.report(ACCESS, Entity("principal", m.cluster, name), m.observed_at_ms, every, frozenset())
        else:
            counts, resources = _count(m.denials)
            for name in counts:
                if name not in state.denied and len(state.denied) < MOST_PRINCIPALS:
                    state.denied[name] = _Denied(m.observed_at_ms, 0, 0, [])
            for name in sorted(state.denied):
                self._judge(src, state, name, counts.get(name, 0), resources.get(name, []), every, more)
        self._write(state)

    def _judge(self, src: Src, state: _State, name: str, count: int, resources: list[str], every: int, more: bool) -> None:
        entity = Entity("principal", state.cluster, name)
        d = state.denied[name]
        was = KIND in self._board.of(entity)
        if count:
            if d.polls == 0 and not was:
                d.since_ms = state.at_ms
            d.polls, d.clean = d.polls + 1, 0
            d.resources = list(dict.fromkeys([*d.resources, *resources]))[:MOST_RESOURCES]
        elif more:
            return  # another part of a poll that was counted already
        else:
            d.polls, d.clean = 0, d.clean + 1
        active = count >= AT_ONCE or d.polls >= 2 or (was and d.clean < CLEAR_POLLS)
        symptoms = []
        if active:
            shown = float(count) if count or not was else self._board.of(entity)[KIND].value
            why = f"{number(shown or 0.0)} denied requests on {', '.join(d.resources) or 'unnamed resources'}"
            symptoms.append(
                Symptom(
                    kind=KIND, entity=entity, since_ms=d.since_ms, last_ms=state.at_ms, value=shown, why=why,
                    topic_src=src.topic, partition_src=src.partition, offset_src=src.offset,
                    detail={"resources": d.resources},
                )
            )  # fmt: skip
        self._board.report(ACCESS, entity, state.at_ms, every, JUDGED, symptoms)
        if d.clean >= CLEAR_POLLS:
            del state.denied[name]
            self._board.retire(ACCESS, entity)

    def tick(self, now_ms: int) -> None:
        """Nothing here moves with time alone."""

    def load(self, table: str, key: str, value: bytes) -> None:
        """One row at recovery; rows that are not of these windows are left alone."""
        if table == "entities" and key.startswith("acc|"):
            state = _DECODER.decode(value)
            self._states[state.cluster] = state

    def loaded(self) -> None:
        """All rows are in."""
        for cluster in sorted(self._states):
            state = self._states[cluster]
            for name in sorted(state.denied):
                self._board.refresh(ACCESS, Entity("principal", cluster, name), state.at_ms)

    def _write(self, state: _State) -> None:
        self._rows.put("entities", rowkeys.join("acc", state.cluster), msgspec.msgpack.encode(state))


def _count(denials: tuple[dict[str, Any], ...]) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Denials and what was denied, per principal; rows without a principal are left out."""
    counts: dict[str, int] = {}
    resources: dict[str, list[str]] = {}
    for d in denials:
        name, count = d.get("principal"), d.get("count", 1)
        if not isinstance(name, str) or not name or isinstance(count, bool) or not isinstance(count, int | float) or count <= 0:
            continue
        counts[name] = counts.get(name, 0) + int(max(count, 1))
        what = d.get("resource")
        if isinstance(what, str) and what:
            resources.setdefault(name, []).append(f"{d['operation']} {what}" if isinstance(d.get("operation"), str) else what)
    return counts, resources
