"""What the stream needs of the engine: tests bring a small one of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kroute.contracts.alerts import Alert
from kroute.contracts.common import Entity
from kroute.contracts.facts import Envelope
from kroute.routing.ledger import Obligations


class EffectsLike(Protocol):
    """What correlate needs of ``kroute.engine.Effects``."""

    @property
    def rows(self) -> Mapping[tuple[str, str], bytes | None]:
        """(table, key) → value, None to delete."""

    @property
    def alerts(self) -> Sequence[Alert]:
        """Records for routed-alerts, in order."""


class State(Protocol):
    """What correlate needs of ``kroute.engine.PartitionState``."""

    def load(self, table: str, key: str, value: bytes) -> None:
        """One stored row."""

    def loaded(self) -> None:
        """All rows are in."""

    def step(self, offset: int, envelope: Envelope) -> EffectsLike:
        """Apply one record of facts."""

    def at_stake(self) -> Sequence[Entity]:
        """Entities that an objective which is breached or at risk hangs on, the worst first."""

    def obligations(self) -> Obligations:
        """What was opened somewhere and is not closed yet."""

    def take_fallbacks(self) -> Mapping[str, int]:
        """Deliveries opened at a fallback since this was asked last, by the fallback's name."""

    def take_failures(self) -> Mapping[str, int]:
        """Diagnoses that failed since this was asked last, by traceback."""

    def take_forbidden(self) -> Sequence[Any]:
        """Controls that the policy did not let their realm give, since this was asked last (``kroute.engine.Forbidden``)."""


class EngineLike(Protocol):
    """What correlate needs of ``kroute.engine.Engine``."""

    def new_state(self, partition: int) -> State:
        """An empty state for one facts partition."""

    def outdated(self, clock: bytes | None) -> bool:
        """Whether the rows with this clock row must be migrated."""

    def migrate(self, rows: Mapping[tuple[str, str], bytes], /) -> dict[tuple[str, str], bytes | None]:
        """What has to be written so that rows of an older version can be loaded."""
