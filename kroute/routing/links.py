"""Migration links as rows state them: from where to where, which groups, how far they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from kroute.contracts.common import Entity
from kroute.contracts.rows import Ownership
from kroute.signals.model import Link

PHASES = {
    "promoting": "promoting", "cutting-over": "promoting", "switching": "promoting",
    "promoted": "promoted", "cutover": "promoted", "cut-over": "promoted", "switched": "promoted", "migrated": "promoted",
    "completed": "promoted", "complete": "promoted", "done": "promoted",
}  # fmt: skip
"""Words for the phases in which clients leave the source; any other word means that they are still there."""


def links(rows: Iterable[Ownership]) -> dict[str, tuple[Link, ...]]:
    """Links by the cluster that they read from; rows that do not name both clusters are left out."""
    out: dict[str, list[Link]] = {}
    for row in rows:
        if row.kind == "link" and row.source_cluster and row.target_cluster:
            cluster = row.target_cluster if "*" in row.cluster else row.cluster
            phase = PHASES.get((row.phase or "").lower().replace("_", "-").replace(" ", "-"), "")
            link = Link(
                Entity("link", cluster, row.name), row.source_cluster, row.target_cluster, row.groups, phase,
                _ms(row.dual_run_until),
            )  # fmt: skip
            out.setdefault(row.source_cluster, []).append(link)
    return {c: tuple(sorted(found)) for c, found in out.items()}


def _ms(when: str | int | None) -> int | None:
    """Epoch ms of a time as a row states it: epoch ms, or RFC 3339; None: none, or not a time."""
    if when is None or isinstance(when, int):
        return when
    try:
        return int(datetime.fromisoformat(when).timestamp() * 1000)
    except ValueError:
        return None
