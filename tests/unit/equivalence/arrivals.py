"""The same observations, arriving otherwise; and what was told of them in the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from kroute.contracts.alerts import Alert, RoutedAlert
from kroute.contracts.common import Entity
from kroute.contracts.facts import Envelope
from kroute.contracts.topics import SIGNALS
from kroute.engine import Effects, Engine, PartitionState
from kroute.replay import Recording, replay
from kroute.settings import Settings
from kroute.stream.forward import Record

_DECODE = msgspec.json.Decoder(RoutedAlert).decode
LATENESS_MS = 30_000
"""Two polls of the cases. A signal may come this late: a source that is not heard for three polls counts as lost."""


class Told(NamedTuple):
    """An incident as its last record has it. ``impact``: services, else topics, that missed an objective or were about to;
    ``members``: every symptom that was ever evidence of it, and for how many seconds it was active in all."""

    cause: str
    root: str
    status: str
    impact: tuple[str, ...]
    members: dict[str, int]

    def lasting(self, seconds: int) -> list[str]:
        """Members that were active for so long."""
        return sorted(m for m, s in self.members.items() if s >= seconds)


class Watching(Engine):
    """The engine, and what its incidents rest on: alerts are not sent again for each symptom that joins."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.catalogue, engine.heartbeat_ms)
        self.evidence: dict[str, dict[tuple[Entity, str], None]] = {}
        self.seconds: Counter[tuple[Entity, str]] = Counter()

    def new_state(self, partition: int) -> PartitionState:
        return _Watched(self, partition)


class _Watched(PartitionState):
    def step(self, offset: int, envelope: Envelope) -> Effects:
        effects = super().step(offset, envelope)
        watching = self._engine
        assert isinstance(watching, Watching)
        for domain in self.domains.values():
            watching.seconds.update(list(domain.board.active))
            for i, inc in domain.lifecycle.incidents.items():
                watching.evidence.setdefault(i, {}).update(dict.fromkeys(inc.evidence))
        return effects


def ran(records: Iterable[Record], engine: Engine, settings: Settings, until_ms: int) -> list[Alert]:
    """Alerts of these input records."""
    return replay(Recording(records=list(records)), engine, settings, until_ms).alerts


def told(records: Iterable[Record], engine: Engine, settings: Settings, until_ms: int) -> list[Told]:
    """The incidents that these records end in, sorted; one that was merged is part of the one it went to."""
    watching = Watching(engine)
    by: dict[str, list[RoutedAlert]] = {}
    for a in ran(records, watching, settings, until_ms):
        by.setdefault(a.key, []).append(_DECODE(a.value))
    last = {i: rs[-1] for i, rs in by.items()}
    into = {i: _home(i, last) for i in by}
    out = []
    for i, r in last.items():
        if into[i] == i:
            mine = [j for j in by if into[j] == i]
            members = {f"{k} {e.kind}/{e.name}": watching.seconds[(e, k)] for j in mine for e, k in watching.evidence[j]}
            impact = {
                str(m.service or m.topic) for j in mine for x in by[j] for m in x.impact if m.state in ("breached", "at-risk")
            }
            root = f"{r.cause.root.kind}/{r.cause.root.name}"
            out.append(Told(r.cause.id, root, r.status, tuple(sorted(impact)), members))
    return sorted(out, key=lambda t: t[:4])


def _home(i: str, last: dict[str, RoutedAlert]) -> str:
    while (into := last[i].superseded_by) is not None and into in last:
        i = into
    return i


def arranged(records: Iterable[Record]) -> list[Record]:
    """In order of append time, with the offsets that this order gives."""
    out, n = [], Counter[tuple[str, int]]()
    for r in sorted(records, key=lambda r: r.ts):
        out.append(r._replace(offset=n[(r.topic, r.partition)]))
        n[(r.topic, r.partition)] += 1
    return out


def _signals(records: Sequence[Record], settings: Settings, change: Callable[[Record], list[Record]]) -> list[Record]:
    out: list[Record] = []
    for r in records:
        out += change(r) if settings.names.short(r.topic) in SIGNALS else [r]
    return arranged(out)


def doubled(
    records: Sequence[Record], settings: Settings, seed: int, share: float = 0.3, within_ms: int = LATENESS_MS
) -> list[Record]:
    """Some signals were produced twice: a second record, at another offset, up to ``within_ms`` later."""
    rng, end = random.Random(seed), records[-1].ts
    return _signals(
        records,
        settings,
        lambda r: [r, r._replace(ts=min(end, r.ts + rng.randrange(within_ms)))] if rng.random() < share else [r],
    )


def late(
    records: Sequence[Record], settings: Settings, seed: int, within_ms: int = LATENESS_MS, share: float = 1.0
) -> list[Record]:
    """Signals come up to ``within_ms`` after they would have, each by another time, and so in any order within it."""
    rng, end = random.Random(seed), records[-1].ts
    return _signals(
        records, settings, lambda r: [r._replace(ts=min(end, r.ts + (rng.randrange(within_ms) if rng.random() < share else 0)))]
    )


def shuffled(records: Sequence[Record], settings: Settings, seed: int, within_ms: int = 1000) -> list[Record]:
    """Signals appended within the same ``within_ms`` come in any order: partitions are read side by side."""
    rng = random.Random(seed)
    return _signals(records, settings, lambda r: [r._replace(ts=r.ts // within_ms * within_ms + rng.randrange(within_ms))])
