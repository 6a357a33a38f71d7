"""Options that several commands share: who, why, for how long, by which realm."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from kroute.routing.times import rfc3339

F = TypeVar("F", bound=Callable[..., Any])


def by(f: F) -> F:
    """``--by``: who does it."""
    return click.option("--by", default=_user, show_default="the user", help="Who does it.")(f)


def why(f: F) -> F:
    """``--why``: it must be said."""
    return click.option("--why", required=True, help="Why; it stands in the record.")(f)


def realm(f: F) -> F:
    """``--realm``: whose topic it goes to."""
    return click.option("--realm", help="Send to kroute.controls.<realm>, whose ACL says who may.")(f)


def unchecked(f: F) -> F:
    """``--unchecked``: the incident's id is taken as it is."""
    return click.option("--unchecked", is_flag=True, help="Take the incident's full id as it is, without looking it up.")(f)


def now_ms() -> int:
    """The clock, epoch ms."""
    return int(time.time() * 1000)


def end(for_: str | None, until: str | None, start_ms: int) -> int | None:
    """Epoch ms of ``--for`` (from the start) or ``--until``; None: neither is given."""
    from kroute.admin.controls import when  # noqa: PLC0415  (--help must not import the Kafka client)

    if for_ is not None and until is not None:
        raise click.UsageError("give --for or --until, not both")
    try:
        if for_ is not None:
            return when(for_, start_ms)
        return when(until, start_ms) if until is not None else None
    except ValueError as e:
        raise click.UsageError(str(e)) from None


def clock(ms: int | None) -> str:
    """A time as lists show it."""
    return "-" if ms is None else f"{rfc3339(ms)[:19]}Z"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
