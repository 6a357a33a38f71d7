"""A small engine behind the interface of ``kroute.engine``: enough to see what a worker lost, repeated or mixed up.

It counts samples per group in rows of its own, keeps the progress of the inputs, and alerts on every third message
of a group. Run as a program it is a worker with this engine in place of the real one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from kroute.contracts.alerts import Alert
from kroute.contracts.common import Entity
from kroute.contracts.facts import Envelope
from kroute.errors import KrouteError
from kroute.routing.ledger import Obligations
from kroute.settings import load
from kroute.stream.run import run


class Effects(NamedTuple):
    rows: dict[tuple[str, str], bytes | None]
    alerts: list[Alert]


class FakeState:
    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.rows: dict[tuple[str, str], bytes] = {}
        self.is_loaded = False

    def load(self, table: str, key: str, value: bytes) -> None:
        assert not self.is_loaded
        self.rows[table, key] = value

    def loaded(self) -> None:
        self.is_loaded = True

    def step(self, offset: int, envelope: Envelope) -> Effects:
        changed: dict[tuple[str, str], bytes | None] = {}
        alerts: list[Alert] = []
        for fact in envelope.facts:
            if fact.topic == "progress":
                continue
            seen = ("entities", f"seen|{fact.src}|{fact.p}")
            if fact.o <= self._get(seen, {"o": -1})["o"]:
                continue
            self._put(changed, seen, {"o": fact.o})
            if fact.topic == "ownership":
                where = ("ownership", fact.key or "")
                if bytes(fact.val) == b"null":
                    self.rows.pop(where, None)
                    changed[where] = None
                else:
                    self.rows[where] = changed[where] = bytes(fact.val)
            elif fact.topic == "consumer-lag":
                value: Any = msgspec.json.decode(fact.val)
                where = ("consumer_lag", value["group"])
                row = self._get(where, {"messages": 0, "total": 0})
                row = {"messages": row["messages"] + 1, "total": row["total"] + sum(p["end"] for p in value["partitions"])}
                self._put(changed, where, row)
                if row["messages"] % 3 == 0:
                    n = row["messages"] // 3
                    body = msgspec.json.encode({"id": f"{value['group']}-{n}", "group": value["group"], **row, "at": offset})
                    alerts.append(Alert(value["group"], body, (("ce_id", f"{value['group']}-{n}".encode()),), fact.ts))
        return Effects(changed, alerts)

    def at_stake(self) -> list[Entity]:
        return []

    def obligations(self) -> Obligations:
        return Obligations()

    def take_fallbacks(self) -> dict[str, int]:
        return {}

    def take_failures(self) -> dict[str, int]:
        return {}

    def take_forbidden(self) -> list[Any]:
        return []

    def _get(self, where: tuple[str, str], default: Any) -> Any:
        raw = self.rows.get(where)
        return default if raw is None else msgspec.json.decode(raw)

    def _put(self, changed: dict[tuple[str, str], bytes | None], where: tuple[str, str], value: Any) -> None:
        self.rows[where] = changed[where] = msgspec.json.encode(value)


class FakeEngine:
    def new_state(self, partition: int) -> FakeState:
        return FakeState(partition)

    def outdated(self, clock: bytes | None) -> bool:
        return clock == b"old"

    def migrate(self, rows: Mapping[tuple[str, str], bytes]) -> dict[tuple[str, str], bytes | None]:
        return {**{w: b"migrated" * 25 for w in rows if w[0] == "consumer_lag"}, ("entities", "|clock"): b"new"}


def main() -> None:
    try:
        run(load(), FakeEngine(), accept_gap="--accept-gap" in sys.argv, verbose="--verbose" in sys.argv)
    except KrouteError as e:
        print(f"kroute: {e}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
