"""A policy that is not in force: read from files, or held against every other in a replay."""

from __future__ import annotations

from kroute.contracts.rows import Policy
from kroute.engine import Engine, PartitionState
from kroute.errors import BadFile
from kroute.files import convert, line_of, read_yaml
from kroute.routing.policy import PolicyBook, examine
from kroute.signals.model import Rows

CANDIDATE = "candidate"


def read_policy(path: str) -> Policy:
    """The policy of a file; its version is ``candidate`` where the file gives none.

    Raises:
        BadFile: with file, line and field: the first mistake in it.
    """
    value, lines = read_yaml(path)
    if not isinstance(value, dict):
        raise BadFile(path, 1, None, "not a mapping; a policy has routes, automation, calendars, …")
    policy = convert(path, {"version": CANDIDATE, **value}, lines, Policy)
    _, problems = examine(policy)
    if problems:
        first = problems[0]
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BadFile(path, line_of(lines, f".{first.field}"), first.field, first.text + more)
    return policy


class _Fixed(PolicyBook):
    """Holds one policy whatever else is put or stored."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(Rows())
        super().put(b"candidate", policy)

    def put(self, raw: bytes | None, policy: Policy | None) -> list[str]:
        """Nothing replaces it."""
        return []

    def load(self, value: bytes) -> None:
        """Nor does what is stored."""


class Under(Engine):
    """An engine under one policy from the beginning to the end, whatever policies the recording holds (None: its own)."""

    def __init__(self, engine: Engine, policy: Policy | None = None) -> None:
        super().__init__(engine.catalogue, engine.heartbeat_ms)
        self._policy = policy
        self.states: dict[int, PartitionState] = {}

    def new_state(self, partition: int) -> PartitionState:
        """A state whose policy is fixed; kept in ``states``."""
        state = super().new_state(partition)
        if self._policy is not None:
            state.policy = _Fixed(self._policy)
        self.states[partition] = state
        return state
