"""What a question is put to: rows, policy, controls and changes, and the estate where a recording tells it."""

from __future__ import annotations

import msgspec

from kroute.admin.ownership import folder
from kroute.engine import Engine, PartitionState
from kroute.errors import StateError
from kroute.replay import read, replay
from kroute.report.source import Past, from_topics
from kroute.routing.controls import Controls
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.policy import PolicyBook
from kroute.settings import Settings
from kroute.signals.changes import Changes
from kroute.signals.estate import Estate
from kroute.signals.model import Rows
from kroute.whatif.candidate import Under, read_policy


class Known(msgspec.Struct):
    """All that routing asks beside the incident. ``estates``: domain → estate; empty where nothing tells it.

    ``now_ms``: the time that a recording ends at; None: none was read.
    """

    ownership: OwnershipIndex
    policy: PolicyBook
    controls: Controls
    changes: Changes
    estates: dict[str, Estate] = {}
    now_ms: int | None = None

    def estate(self, domain: str) -> Estate:
        """The estate of a domain, empty where nothing is known."""
        return self.estates.setdefault(domain, Estate(Rows()))

    def use(self, policy: str | None) -> Known:
        """The same under the policy of a file (None: unchanged).

        Raises:
            BadFile: it cannot be used.
        """
        if policy is not None:
            self.policy = PolicyBook(Rows())
            self.policy.put(b"candidate", read_policy(policy))
        return self


def from_folder(path: str) -> Known:
    """Rows of a folder of YAML; no policy, no changes.

    Raises:
        BadFile: the first mistake in it.
    """
    stated, problems = folder.read(path)
    if problems:
        raise problems[0]
    index = OwnershipIndex(Rows())
    for s in stated:
        index.put(s.key, folder.encode(s.row), s.row)
    return Known(index, PolicyBook(Rows()), Controls(Rows()), Changes(Rows()))


def from_recording(path: str, engine: Engine, settings: Settings) -> Known:
    """What was known at the end of a recording.

    Raises:
        BadFile: with file and line.
        StateError: there is nothing in it.
    """
    under = Under(engine)
    replay(read(path, settings), under, settings)
    states: list[PartitionState] = [under.states[p] for p in sorted(under.states)]
    if not states:
        raise StateError(f"{path} has no record of an input topic, nor facts")
    estates = {name: d.estate for s in states for name, d in sorted(s.domains.items())}
    first = states[0]  # rows, policy, controls and changes stand in every partition
    return Known(first.ownership, first.policy, first.controls, first.changes, estates, max(s.now_ms for s in states))


def from_kafka(settings: Settings) -> Known:
    """What stands on the topics now; the estate is not read.

    Raises:
        StateError, SourceUnreachable: as ``kroute.report.source``.
    """
    past: Past = from_topics(settings, None, alerts=False)
    out = Known(OwnershipIndex(Rows()), PolicyBook(Rows()), Controls(Rows()), Changes(Rows()))
    for key, row in past.ownership.items():
        out.ownership.put(key, msgspec.json.encode(row), row)
    for given in past.controls:
        out.controls.put(f"{given.control.kind}/{given.ident}", given.control, given.realm)
    for change in past.changes.values():
        out.changes.put(change)
    if past.policy_row is not None:
        out.policy.put(msgspec.json.encode(past.policy_row), past.policy_row)
    return out
