"""Whom a declared change covers."""

from __future__ import annotations

import pytest

from kroute.contracts.common import Entity
from kroute.signals.changes import covers

BROKER = Entity("broker", "prod", "2")
METRICS = Entity("source", "prod", "broker-metrics/broker/2")


@pytest.mark.parametrize(
    ("kind", "name", "entity", "covered"),
    [
        ("broker", "2", BROKER, True),
        ("broker", "*", BROKER, True),
        ("broker", "3", BROKER, False),
        ("cluster", "prod", BROKER, True),
        ("cluster", "other", BROKER, False),
        ("group", "2", BROKER, False),
        ("broker", "2", METRICS, True),
        ("broker", "3", METRICS, False),
        ("connect-worker", "2", METRICS, False),
        ("cluster", "prod", METRICS, True),
        ("group", "a*", Entity("group", "prod", "audit"), True),
        ("group", r"a\*", Entity("group", "prod", "audit"), False),
        ("group", r"a\*", Entity("group", "prod", "a*"), True),
    ],
)
def test_a_change_covers_what_it_names_its_metrics_and_all_of_its_cluster(
    kind: str, name: str, entity: Entity, covered: bool
) -> None:
    assert covers(kind, name, entity) is covered
