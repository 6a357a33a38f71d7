"""Controls and changes that people give: made, checked against what the policy lets a realm do, and sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from kroute.admin import log
from kroute.admin.policy import versions
from kroute.contracts.rows import CHANGE_KINDS, Change, Control
from kroute.diagnosis.durations import seconds
from kroute.errors import ConfigError, NotAllowed, StateError
from kroute.reach import Reach, lacks
from kroute.routing.controls import MATCHERS
from kroute.routing.policy import DEFAULT, InForce, check
from kroute.settings import Settings
from kroute.signals.changes import end_ms

LONGEST_MS = 30 * 86_400_000
BOUNDED = ("maintenance", "freeze", "replay", "offset-reset", "reassignment")
"""Kinds of change that quiet something or hold something up: they end at a time that is stated."""


class Given(NamedTuple):
    """One control that stands on a topic. ``realm``: of its topic, None for the one without."""

    realm: str | None
    control: Control
    topic: str
    key: str
    partition: int


def when(text: str, now_ms: int) -> int:
    """A time: ``2h`` from now, or RFC 3339; epoch ms.

    Raises:
        ValueError: neither.
    """
    try:
        return now_ms + int(seconds(text) * 1000)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 2h (from now) or 2026-12-20T10:00:00Z") from None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)


def matchers(words: Iterable[str]) -> dict[str, str]:
    """``field=value`` words as a silence's matchers.

    Raises:
        ValueError: an unknown field, none at all, or such as match everything.
    """
    out: dict[str, str] = {}
    for word in words:
        field, eq, value = word.partition("=")
        if not eq or not value or field not in MATCHERS:
            raise ValueError(f"{word!r} is no matcher; write field=value, field one of {', '.join(MATCHERS)}")
        if field in out:
            raise ValueError(f"{field} is matched twice; give one value, or one that ends in *")
        out[field] = value
    if all(v == "*" for v in out.values()):
        raise ValueError("this would silence everything; match a cause, team, service, cluster, root or entity")
    return out


def new_id(stem: str) -> str:
    """An id that nobody else has."""
    return f"{stem}-{secrets.token_hex(4)}"


def send(settings: Settings, control: Control, realm: str | None, partition: int | None = None) -> str:
    """Send a control to its realm's topic; returns its key.

    Raises:
        NotAllowed: the policy in force does not let the realm give such controls: workers would not heed it.
        StateError: the realm has no topic, so no worker reads it.
        SourceUnreachable: Kafka gave no answer, or refused (its ACL is the authority).
    """
    policy = _policy(settings)
    if not policy.allows(realm, control.kind):
        may = sorted(r or "the topic without a realm" for r, kinds in policy.realms.items() if control.kind in kinds)
        whose = f"realm {realm}" if realm else "the topic without a realm"
        raise NotAllowed(
            f"policy {policy.version} does not let {whose} give a {control.kind}; {', '.join(may) or 'nobody'} may"
        )  # fmt: skip
    topic = _topic(settings, realm)
    key = f"{control.kind}/{control.id}"
    log.produce(settings, topic, [log.Row(key, msgspec.json.encode(_sparse(control)), partition=partition)])
    return key


def given(settings: Settings, kind: str) -> list[Given]:
    """All controls of a kind in all realms, oldest first; what workers would refuse is left out.

    Raises:
        StateError, SourceUnreachable: as ``kroute.admin.log``.
    """
    out: list[Given] = []
    for topic in _topics(settings):
        for key, kept in log.compacted(settings, topic).items():
            try:
                control = msgspec.json.decode(kept.value or b"", type=Control)
            except (msgspec.MsgspecError, ValueError):
                continue
            if control.kind == kind:
                out.append(Given(settings.names.realm(topic), control, topic, key, kept.partition))
    return sorted(out, key=lambda g: (g.control.at_ms, g.key))


def declare(settings: Settings, change: Change) -> None:
    """Send a change.

    Raises:
        ConfigError: of a kind that is not known, or without the end that its kind must have.
        SourceUnreachable: Kafka gave no answer, or refused.
    """
    if change.kind not in CHANGE_KINDS:
        raise ConfigError(f"{change.kind!r} is no kind of change; there is {', '.join(CHANGE_KINDS)}")
    if change.kind in BOUNDED and change.ends_at_ms is None:
        raise ConfigError(f"a {change.kind} says when it ends; give --for or --until")
    if change.ends_at_ms is not None and change.ends_at_ms < change.starts_at_ms:
        raise ConfigError("it would end before it begins")
    topic = log.ensure(settings, "changes")
    log.produce(settings, topic, [log.Row(change.id, msgspec.json.encode(_sparse(change)))])


def changes(settings: Settings) -> dict[str, Change]:
    """Every change that is kept, its newest word, by id.

    Raises:
        StateError, SourceUnreachable: as ``kroute.admin.log``.
    """
    out: dict[str, tuple[int, Change]] = {}
    for kept in log.records(settings, [settings.names.full("changes")]):
        try:
            change = msgspec.json.decode(kept.value or b"", type=Change)
        except (msgspec.MsgspecError, ValueError):
            continue
        if change.id not in out or kept.at_ms >= out[change.id][0]:
            out[change.id] = (kept.at_ms, change)
    return {k: c for k, (_, c) in sorted(out.items())}


def over(change: Change, now_ms: int) -> bool:
    """True when a change has ended."""
    return end_ms(change) < now_ms


def incident(settings: Settings, text: str) -> str:
    """The full id of the one incident whose id begins with ``text``, among the alerts that are kept.

    Raises:
        ConfigError: none, or several.
    """
    found = log.routed_alerts(settings)
    fits = [text] if text in found else [i for i in found if i.startswith(text)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise ConfigError(f"{text} is the beginning of {len(fits)} incidents: {', '.join(fits[:5])}")
    firing = [i for i, alerts in found.items() if alerts[-1].get("status") == "firing"]
    raise ConfigError(f"no incident {text} among the alerts that are kept; firing: {', '.join(firing[:10]) or 'none'}")


def _policy(settings: Settings) -> InForce:
    try:
        held = versions.in_force(settings)
    except StateError:
        return DEFAULT
    ready, _ = check(held.policy) if held is not None else (None, [])
    return ready if ready is not None else DEFAULT


def _topic(settings: Settings, realm: str | None) -> str:
    if realm is None:
        return log.ensure(settings, "controls")
    name = settings.names.full(f"controls.{realm}")
    held = Reach(settings.kafka).topics([name])[name]
    if held is not None and not held:
        raise lacks(settings.kafka, f"Write on topic {name}", "responder")
    if held is None:
        raise StateError(f"realm {realm} has no topic {name}; workers create and read those named in KROUTE_REALMS")
    return name


def _topics(settings: Settings) -> list[str]:
    """Topics of controls, of all realms."""
    names = Reach(settings.kafka).metadata().topics
    whole = settings.names.full("controls")
    return sorted(n for n in names if n == whole or n.startswith(f"{whole}."))


def _sparse(value: Control | Change) -> dict[str, object]:
    return {k: v for k, v in msgspec.to_builtins(value).items() if v not in (None, {}, []) and k != "v"}
