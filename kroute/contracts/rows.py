"""What people state: ownership rows, changes, controls, the policy.

These live on compacted topics (changes on a retained one); a null value deletes a row.
"""

# ruff: noqa: RUF012 - msgspec gives each struct its own empty default
from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from kroute.contracts.common import Cluster, Int64, Millis, Name, Versioned

OWNERSHIP_KINDS: tuple[str, ...] = (
    "team", "service", "topic", "group", "connector", "system", "principal", "broker", "rack",
    "cluster", "link", "schema",
)  # fmt: skip

CHANGE_KINDS: tuple[str, ...] = (
    "deploy", "replay", "offset-reset", "maintenance", "reassignment", "scale", "config", "quota", "acl",
    "schema", "terraform", "migration", "drill", "freeze",
)  # fmt: skip

CONTROL_KINDS: tuple[str, ...] = ("silence", "ack", "action", "verdict")


Text = Annotated[str, Meta(max_length=2048)]
"""A text of a row that alerts repeat: bounded, so that no alert outgrows its topic's limit."""
Team = Annotated[str, Meta(min_length=1, max_length=256)]
Seconds = Annotated[float, Meta(gt=0, le=10 * 366 * 86_400)]


class Slo(Struct, frozen=True, kw_only=True):
    """Objectives. ``freshness_s``: seconds a consumer may be behind; ``data_age_s``: seconds since the last record."""

    freshness_s: Seconds | None = None
    data_age_s: Seconds | None = None


class Ownership(Versioned, frozen=True, kw_only=True):
    """``kroute.ownership``: one row; key ``kind/cluster/name``. ``cluster`` and ``name`` may end in ``*``.

    Which fields mean something depends on ``kind``; see the README's table. Secrets never stand in a row.
    """

    kind: Name
    cluster: Cluster
    name: Name
    owner: Team | None = None
    service: Name | None = None
    data_class: Text | None = None
    slo: Slo | None = None
    runbook: Text | None = None
    escalation: Text | None = None
    rollback: Text | None = None
    labels: dict[str, str] = {}
    # service
    customer_function: Text | None = None
    stateless: bool | None = None
    principals: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    # cluster
    governance: Team | None = None
    network: Team | None = None
    # team: destinations per urgency
    page: Text | None = None
    ticket: Text | None = None
    notify: Text | None = None
    # connector, schema, group
    system: str | None = None
    topics: tuple[str, ...] = ()
    isolation: str | None = None
    schedule: Any = None
    # link
    source_cluster: str | None = None
    target_cluster: str | None = None
    groups: tuple[str, ...] = ()
    phase: str | None = None
    dual_run_until: str | Int64 | None = None


class Target(Struct, frozen=True, kw_only=True):
    """What a change touches: any kind of entity. ``name`` may end in ``*``."""

    kind: Name
    name: Name


class Change(Versioned, frozen=True, kw_only=True):
    """``kroute.changes``: what people and machines do on purpose. ``ends_at_ms`` null: not known or not over.

    A ``freeze`` says that nothing is changed there for that time: no automation runs.
    """

    id: Name
    kind: Name
    cluster: Cluster
    target: Target
    starts_at_ms: Millis
    ends_at_ms: Millis | None = None
    by: str | None = None
    rollback: str | None = None
    why: str | None = None
    detail: dict[str, Any] = {}


class Control(Versioned, frozen=True, kw_only=True):
    """``kroute.controls`` (and ``kroute.controls.<realm>``): people's acts; key ``kind/id``.

    ``silence``: ``matchers`` (field → value or glob), ``until_ms``. ``ack``: ``incident``. ``action``:
    ``incident``, ``remedy``, ``state`` (started | succeeded | failed | rolled-back). ``verdict``: ``incident``,
    ``verdict`` (right-owner | wrong-owner | not-actionable | false-alarm), ``should_be``, ``cause``.
    """

    kind: Name
    id: Name | None = None
    at_ms: Millis
    by: Text
    why: Text | None = None
    incident: Name | None = None
    matchers: dict[str, str] = {}
    until_ms: Millis | None = None
    remedy: str | None = None
    state: str | None = None
    verdict: str | None = None
    should_be: str | None = None
    cause: str | None = None


class Policy(Versioned, frozen=True, kw_only=True):
    """``kroute.policy``: the whole routing policy; key ``policy``. ``version`` is a git commit.

    ``defaults`` overrides numbers of the incident life (``settle_s``, ``hold_s``, ``repeat_s``,
    ``page_confidence``); ``routes``, ``automation``, ``teams`` as in the README's policy section.
    """

    version: Name
    defaults: dict[str, float] = {}
    routes: tuple[dict[str, Any], ...] = ()
    teams: dict[str, dict[str, Any]] = {}
    automation: dict[str, Any] = {}
    calendars: dict[str, Any] = {}
    domains: dict[str, str] = {}
    realms: dict[str, tuple[str, ...]] = {}
    """Realm → kinds of control it may give; empty: every realm may give all. ``""`` is the topic without a realm."""


class PolicyChange(Versioned, frozen=True, kw_only=True):
    """``kroute.policy-history``: a policy that was put in force, by whom and why; key ``<at_ms>/<version>``.

    ``kroute.policy`` keeps the last alone; workers do not read this topic.
    """

    at_ms: Millis
    by: Text
    why: Text
    action: str
    """``apply`` | ``rollback``."""
    policy: Policy
