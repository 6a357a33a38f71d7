"""Faults to inject into the demo estate, by the name of the cause that kroute should then find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kroute.errors import ConfigError
from kroute.local.broker import LocalKafka
from kroute.local.estate import RATES, READERS, SINK, SINK_TOPIC, Estate

_VICTIM_BROKER = 2


@dataclass(frozen=True)
class Fault:
    """Something that breaks on ``start`` and is repaired on ``end``; ``about`` says what, for a person."""

    name: str
    about: str
    start: Callable[[], None]
    end: Callable[[], None]


NAMES: dict[str, str] = {
    "slow-consumer": "the group checkout reads its orders at a tenth of the rate at which they come",
    "stopped-consumer": "the only member of the group fraud stops while payments go on",
    "sink-failed": f"the sink {SINK} is pointed at a folder that does not exist: its task fails",
    "broker-down": f"broker {_VICTIM_BROKER} of three is killed",
}
"""Name → what happens."""


def fault(name: str, estate: Estate, kafka: LocalKafka | None = None) -> Fault:
    """The fault ``name`` for this estate; ``kafka`` is needed to kill a broker.

    Raises:
        ConfigError: no such fault, or this estate cannot have it; says what to do.
    """
    if name not in NAMES:
        raise ConfigError(f"there is no fault {name!r}; there are {', '.join(NAMES)}")
    if name == "slow-consumer":
        start, end = _slow(estate)
    elif name == "stopped-consumer":
        consumer = estate.consumers["fraud"]
        start, end = consumer.stop, lambda: _ignore(consumer.start())
    elif name == "sink-failed":
        start, end = _sink(estate)
    else:
        start, end = _broker(kafka)
    return Fault(name, NAMES[name], start, end)


def _ignore(_: object) -> None:
    """A result that nobody needs."""


def _slow(estate: Estate) -> tuple[Callable[[], None], Callable[[], None]]:
    consumer = estate.consumers["checkout"]
    usual, slow = consumer.rate, RATES[READERS["checkout"]] / 10

    def start() -> None:
        consumer.rate = slow

    def end() -> None:
        consumer.rate = usual

    return start, end


def _sink(estate: Estate) -> tuple[Callable[[], None], Callable[[], None]]:
    connect = estate.connect
    if connect is None:
        raise ConfigError("the fault sink-failed needs Kafka Connect, which this estate does not have")
    missing = estate.archive.parent / "unmounted" / estate.archive.name
    return (
        lambda: connect.put_file_sink(SINK, SINK_TOPIC, missing),
        lambda: connect.put_file_sink(SINK, SINK_TOPIC, estate.archive),
    )


def _broker(kafka: LocalKafka | None) -> tuple[Callable[[], None], Callable[[], None]]:
    if kafka is None or len(kafka.brokers) < 3:
        raise ConfigError("the fault broker-down needs three brokers of our own: kroute up --brokers 3, without KROUTE_BOOTSTRAP")
    return lambda: kafka.kill(_VICTIM_BROKER), lambda: kafka.restart(_VICTIM_BROKER)
