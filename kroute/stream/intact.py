"""Whether the changelogs still hold what the journal knows that they held. Pure.

A changelog that was emptied, deleted and made again, or cut by a broker that lost what it had acknowledged, gives a
state with holes: incidents that are never closed, owners that are forgotten. It is refused, never used.
"""

from __future__ import annotations

from collections.abc import Mapping

from kroute.errors import StateError
from kroute.stream.admin import Span
from kroute.stream.journal import Unit


def check(unit: Unit | None, spans: Mapping[str, Span], app_id: str) -> None:
    """Refuse changelogs of one partition, by table, that lost records. ``unit``: the newest unit of the journal.

    1. A compacted log begins with its first offset for ever: one that begins later was deleted from.
    2. Rows are written after the journal's: rows without a journal mean that the journal was lost.
    3. A log that ends before the newest offset the journal knew lost its end.

    Raises:
        StateError: names the changelog, what it holds and what to do.
    """
    for table, span in sorted(spans.items()):
        mark = -1 if unit is None else unit.marks.get(table, -1)
        if span.start > 0:  # 1
            why = f"what was before {span.start} was deleted"
        elif unit is None and table != "journal" and span.end > 0:  # 2
            why = f"the journal ({spans['journal'].topic}), which is written first, has no unit of work"
        elif span.end <= mark:  # 3
            why = f"the journal knows of offset {mark}"
        else:
            continue
        raise StateError(
            f"changelog {span.topic}[{span.partition}] holds {span.start} to {span.end}, and {why}: stored rows are lost, and "
            f"what is left must not be used. Stop all workers, delete every topic {app_id}-*-changelog and start again: the "
            f"state is built anew from the facts that are kept, and what is told again has the same ids"
        )
