"""A policy that is not in force: read from files, or held against every other in a replay."""

from __future__ import annotations

import time

from kroute.admin.policy import folder, versions
from kroute.contracts.rows import Policy
from kroute.engine import Engine, PartitionState
from kroute.errors import BadFile
from kroute.routing.policy import PolicyBook
from kroute.signals.model import Rows


def read_policy(path: str) -> Policy:
    """The policy of a file or folder; its version is the git commit, else a hash of the content.

    Raises:
        BadFile: with file, line and field: the first mistake in it.
    """
    read = folder.read(path)
    policy, _, problems = read.policy(versions.version_of(path, read.value), time.gmtime().tm_year)
    if problems or policy is None:
        first = problems[0]
        more = f" ({len(problems) - 1} more)" if problems[1:] else ""
        raise BadFile(first.file, first.line, first.field, first.problem + more)
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
