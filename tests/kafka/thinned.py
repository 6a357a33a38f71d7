"""A worker that thins polls at once, and says which: ``arm`` runs in its process before it starts, the rest in the test's.

Polls are left out on purpose where facts are behind or a source is over its budget. For a test both come early: facts count as
behind after half a second, so that thinning comes and goes all the time, and a budget holds for three seconds. What is left out
is no fact and has no offset of its own; so a worker writes it down here, before the positions move.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from kroute.stream import budget, forward
from kroute.stream.forward import LEFT_OUT, Addressed, Forwarder, Record

Position = tuple[str, int, int]
"""Topic, partition, offset."""
About = tuple[str, str, str]
"""Input topic (short), cluster, and what of it is polled."""
PACE_MS = 2_000
BUDGET_KB = 4


def arm(path: str) -> None:
    """Thin early, and append each record that is left out to this file: a line, written at once."""
    budget.BEHIND_MS, budget.CAUGHT_UP_MS, budget.PACE_MS, budget.URGENT_PACE_MS, budget.DEPTH_S = 500, 300, PACE_MS, 1_000, 3
    decide = Forwarder.forward
    log = Path(path).open("ab", buffering=0)  # noqa: SIM115  (as long as the process)

    def told(self: Forwarder, record: Record) -> Addressed | None:
        out = decide(self, record)
        if out is LEFT_OUT:
            log.write(orjson.dumps([record.topic, record.partition, record.offset, record.ts]) + b"\n")
        return out

    forward.Forwarder.forward = told  # type: ignore[method-assign]


def left_out(path: Path) -> dict[Position, int]:
    """What workers left out, with its append time (ms). Each is one write, whole even where its writer was killed."""
    if not path.exists():
        return {}
    lines = (orjson.loads(line) for line in path.read_bytes().splitlines())
    return {(topic, partition, offset): ts for topic, partition, offset, ts in lines}


def wrongly(
    missing: Iterable[Position], told: Mapping[Position, int], about: Mapping[Position, About], facts: Iterable[Any],
    signals: Container[str],
) -> list[str]:  # fmt: skip
    """What is wrong with records that are in no applied fact: each has to be a poll that was left out on purpose, and another
    of the same entity has to be in the facts, no older than the pace that thinning keeps."""
    kept: dict[About, list[int]] = {}
    for f in facts:
        at = about.get((f.src, f.p, f.o))
        if at is not None:
            kept.setdefault(at, []).append(f.ts)
    lost, states, unfounded = [], [], []
    for position in sorted(missing):
        ts = told.get(position)
        if ts is None:
            lost.append(position)
        elif about[position][0] not in signals:
            states.append(position)
        elif not any(ts - PACE_MS <= k <= ts for k in kept.get(about[position], ())):
            unfounded.append(position)
    what = (
        (lost, "are not in the applied facts, and nobody left them out"),
        (states, "are of state inputs and were left out"),
        (unfounded, f"were left out, and no other poll of theirs is in the facts of the {PACE_MS} ms before"),
    )
    return [f"{len(found)} records that were fed {said}, as {found[:3]}" for found, said in what if found]
