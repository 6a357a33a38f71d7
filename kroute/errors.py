"""Every error that kroute raises on purpose.

    KrouteError
    ├── BadMessage          a record that cannot be used; goes to the dead-letter topic
    ├── BadFile             a user's file that cannot be used; file, line and field
    ├── ConfigError         a setting that cannot be used; names the setting
    ├── NotAllowed          the policy in force does not let this realm do it
    ├── NotAuthorized       Kafka's ACLs lack a right; names it
    ├── SourceUnreachable   a cluster, exporter or REST endpoint that gave no answer
    ├── LocalKafkaError     the local Kafka could not be prepared or started
    └── StateError          stored state that this version cannot continue from

The message of each is written for the person who reads it: what is wrong, where,
and what to do. A mistake of the user's never ends in a traceback.
"""

from __future__ import annotations

MOST = 2000
"""Characters of one part of a message."""


class KrouteError(Exception):
    """Base of all errors raised on purpose."""


class BadMessage(KrouteError):
    """A record is not what its topic's contract says.

    ``reason`` is one of the stable words in ``kroute.contracts.codec.REASONS``;
    ``detail`` says what and where (a JSON path such as ``$.partitions[0].end``).
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class BadFile(KrouteError):
    """A user's file has a mistake: ``file:line: field: what is wrong``."""

    def __init__(self, file: str, line: int | None, field: str | None, problem: str) -> None:
        field, problem = _short(field), _short(problem) or ""
        where = file if line is None else f"{file}:{line}"
        super().__init__(f"{where}: {field}: {problem}" if field else f"{where}: {problem}")
        self.file = file
        self.line = line
        self.field = field
        self.problem = problem


def _short(text: str | None) -> str | None:
    """What stands in a file may be of any length; what is said about it is not."""
    return text if text is None or len(text) <= MOST else text[: MOST - 1] + "…"


class ConfigError(KrouteError):
    """A setting has a value that cannot be used; the message names the setting."""


class NotAllowed(KrouteError):
    """The policy in force does not let this realm give such a control; the message says who may."""


class NotAuthorized(KrouteError):
    """Kafka does not let this client do it; the message names the client, the operation and the resource."""


class SourceUnreachable(KrouteError):
    """A source of signals gave no usable answer; the message names it and says why."""


class LocalKafkaError(KrouteError):
    """The local Kafka could not be prepared or started; the message ends with the log's last lines."""


class StateError(KrouteError):
    """Stored rows cannot be continued from (newer version, wrong partition count, a gap)."""
