"""Brokers of a test's own that go away and come back, and workers that are started again as a service manager does it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kroute.local.broker import LocalKafka
from tests.kafka.crashes import Estate
from tests.kafka.helpers import admin_client


@contextmanager
def frozen(kafka: LocalKafka, broker: int = 1) -> Iterator[None]:
    """A broker that neither answers nor refuses, as behind a network that swallows everything."""
    process = kafka.brokers[broker].child._process
    assert process is not None
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)


def alerts_flow(estate: Estate, timeout_s: float = 150, more: int = 6) -> None:
    """Wait until so many new alerts come out."""

    def count() -> int:
        return len(estate.read(estate.settings.names.alerts))

    before: list[int] = []

    def enough() -> bool:
        try:
            n = count()
        except Exception:  # no answer yet
            return False
        before.append(n)
        return n >= before[0] + more

    estate.wait(enough, timeout_s, "alerts to flow")


def outlasts(estate: Estate, kafka: LocalKafka, seconds: float, patience_s: float = 150) -> None:
    """Alerts flow before the broker is frozen for so long, and after it."""
    alerts_flow(estate)
    with frozen(kafka):
        wait_tended(estate, seconds)
    alerts_flow(estate, patience_s)


def wait_tended(estate: Estate, seconds: float) -> None:
    """Let time pass, and start again what ends by itself."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        estate.tend()
        time.sleep(0.5)


def coordinator(bootstrap: str, group: str) -> int:
    """The broker that coordinates a group: the leader of the partition of ``__consumer_offsets`` that its name falls on.

    Asked of the metadata: librdkafka aborts the process where a coordinator goes away while a request for groups is under way.
    """
    led = leaders(bootstrap, "__consumer_offsets")
    code = 0
    for c in group:  # String.hashCode of Java
        code = (31 * code + ord(c)) & 0xFFFFFFFF
    return led[(code & 0x7FFFFFFF) % len(led)]


def leaders(bootstrap: str, topic: str) -> dict[int, int]:
    """Leader by partition."""
    found = admin_client(bootstrap).list_topics(topic, timeout=30).topics[topic].partitions
    return {p: m.leader for p, m in found.items()}
