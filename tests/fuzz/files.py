"""Ways in of files that people write: YAML, policies, ownership and its importers, causes, cases, settings, small notations."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import yaml
from click.testing import CliRunner

from kroute.admin.imports import run as imports
from kroute.admin.imports import write as written
from kroute.admin.ownership import check as rows_check
from kroute.admin.ownership import folder as rows_folder
from kroute.admin.policy import folder as policy_folder
from kroute.cli import check as check_command
from kroute.cli.check import policy_problems
from kroute.collect.aliases import AliasFile
from kroute.collect.config import load_config
from kroute.diagnosis import durations
from kroute.diagnosis.load import examine, shipped
from kroute.errors import BadFile, ConfigError, KrouteError
from kroute.files import MAX_DEPTH, MAX_NODES, load_yaml, read_yaml
from kroute.routing.calendars import CalendarError, instant, read_calendar
from kroute.settings import load
from kroute.testing import series
from kroute.testing.case import read_case
from tests.fuzz.mutate import places
from tests.fuzz.scratch import scratch
from tests.fuzz.target import MOST, Target, sayable

ROOT = Path(__file__).parents[2]


def whole_policy() -> dict[str, Any]:
    """The example's files as one."""
    out: dict[str, Any] = {}
    for part in documents("deploy/examples/policy/*.yaml"):
        out.update(part)
    return out


def in_force() -> dict[str, Any]:
    """The example's policy as it stands on its topic."""
    policy, _, _ = policy_folder.read(ROOT / "deploy/examples/policy").policy("1", 2026)
    return dict(msgspec.to_builtins(policy))


def documents(where: str, most: int = 400) -> tuple[Any, ...]:
    """The YAML documents of files under a path of the project, the longest left out: small ones are bent faster."""
    found = [d for f in sorted(ROOT.glob(where)) for d in yaml.safe_load_all(f.read_text(encoding="utf-8"))]
    return tuple(d for d in found if d is not None and sum(1 for _ in places(d)) <= most)


def told(problems: list[BadFile]) -> bool:
    """True when nothing is wrong; what is wrong must be sayable."""
    for p in problems:
        sayable(p)
    return not problems


def refusing(read: Callable[[bytes], object], *errors: type[Exception]) -> Callable[[bytes], bool]:
    """A check out of a reader and the errors it documents."""

    def check(data: bytes) -> bool:
        try:
            read(data)
        except errors as e:
            return sayable(e)
        return True

    return check


def _yaml(data: bytes) -> bool:
    path = scratch(data, "any.yaml")
    value, lines = read_yaml(path)
    assert len(lines) <= 3 * MAX_NODES
    assert sum(1 for _ in places(value, (), MAX_DEPTH + 2)) <= 3 * MAX_NODES
    return True


def _policy(data: bytes) -> bool:
    found = policy_folder.read_files("policy", [scratch(data, "policy.yaml")])
    return told(policy_problems(found, shipped(), None))


def _ownership(data: bytes) -> bool:
    rows, wrong = rows_folder.read_file(str(scratch(data, "rows.yaml")))
    if told(wrong):
        return told(rows_check.check(rows))
    return False


def _cause(data: bytes) -> bool:
    named = re.search(rb"^id: ([a-z-]{1,60})$", data, re.MULTILINE)  # a cause is what its file is called
    return told(examine(str(scratch(data, f"{named[1].decode() if named else 'cause'}.yaml")))[1])


def _import(name: str, data: bytes) -> bool:
    found = imports.run([scratch(data, name)], "prod", "team")
    for note in found.notes:
        assert len(note) < MOST
    written.files(found.rows, "prod")
    return True


def _check(data: bytes) -> bool:
    """The command, over a file of any sort: an exit status, and no word of a traceback."""
    path = scratch(data, "something.yaml")
    done = CliRunner().invoke(check_command.command, [str(path)])
    if done.exception is not None and not isinstance(done.exception, SystemExit | KrouteError):
        raise done.exception
    assert all(c.isprintable() or c == "\n" for c in done.output), "control characters in a terminal"
    return done.exit_code == 0


SETTINGS = {
    "KROUTE_BOOTSTRAP": "b:9092", "KROUTE_SECURITY_PROTOCOL": "SASL_SSL", "KROUTE_SASL_MECHANISM": "PLAIN", "KROUTE_USERNAME": "u",
    "KROUTE_PASSWORD": "p", "KROUTE_PREFIX": "kroute.", "KROUTE_FACTS_PARTITIONS": "4", "KROUTE_WEB_PORT": "6067", "KROUTE_REALMS": "sre,bot",
    "KROUTE_DOMAINS": "a=d,b=d", "KROUTE_HEARTBEAT_S": "60", "KROUTE_REPLICATION_FACTOR": "1", "KROUTE_PASSWORD_FILE": "/nowhere",
    "KROUTE_CATALOGUE_DIR": "x",
}  # fmt: skip


def _settings(data: bytes) -> bool:
    """Each line of the form name=value is a variable."""
    env = dict(SETTINGS)
    del env["KROUTE_PASSWORD_FILE"]
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        name, eq, value = line.partition("=")
        if eq and "\x00" not in line:
            env[name] = value
    load(env)
    return True


def _small(data: bytes) -> bool:
    """The notations inside files: spans, series, calendars, instants, durations, ends of silences."""
    text = data.decode("utf-8", "replace")
    for read in (series.series, series.span_ms, instant, durations.seconds):
        _tried(read, text)
    _tried(lambda t: read_calendar({"days": [t[:3]], "from": t, "to": t[::-1], "tz": t}), text)
    _tried(lambda t: durations.occupancy(t, t), text)
    values = _tried(series.series, text)
    if values is not None:
        assert len(values) <= 1_000_000  # type: ignore[arg-type]
    return values is not None


def _tried(read: Callable[[str], object], text: str) -> object | None:
    try:
        return read(text)
    except (CalendarError, ValueError, KrouteError):
        return None


SMALL = (
    "1x80 1+12x80 960-60x16 1x24",
    "_x5 3 4.5",
    "20m30s",
    "1h",
    "90d",
    "2026-12-02T00:00:00Z",
    "2026-12-02",
    "0.02/week",
    "30m",
    "Europe/Berlin",
    "08:00",
    "15s",
)

BACKSTAGE: tuple[Any, ...] = (
    {"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": {"name": "checkout", "description": "pay", "links": [{"url": "https://r", "title": "Runbook"}],
     "annotations": {"kafka.apache.org/consumer-groups": "prod/checkout, prod-us/b", "kroute.io/tier": "1"}}, "spec": {"type": "service", "lifecycle": "production", "owner": "group:default/t"}},
    {"apiVersion": "backstage.io/v1alpha1", "kind": "Group", "metadata": {"name": "t", "annotations": {"kroute.io/page": "p://x"}}, "spec": {"profile": {"email": "a@b"}, "children": []}},
    {"apiVersion": "backstage.io/v1alpha1", "kind": "Resource", "metadata": {"name": "payments", "tags": ["pci"]}, "spec": {"type": "kafka-topic", "owner": "t"}},
)  # fmt: skip
STRIMZI: tuple[Any, ...] = (
    {"apiVersion": "kafka.strimzi.io/v1beta2", "kind": "KafkaTopic", "metadata": {"name": "pay", "labels": {"strimzi.io/cluster": "c", "team": "t"}}, "spec": {"topicName": "pay", "partitions": 3, "config": {"a": 1}}},
    {"kind": "List", "items": [{"apiVersion": "kafka.strimzi.io/v1beta2", "kind": "KafkaUser", "metadata": {"name": "u", "labels": {"strimzi.io/cluster": "c"}},
     "spec": {"authorization": {"type": "simple", "acls": [{"resource": {"type": "topic", "name": "p", "patternType": "prefix"}, "operations": ["Read"]}]}, "quotas": {"producerByteRate": 1024}}}]},
)  # fmt: skip
TERRAFORM: tuple[Any, ...] = (
    {"format_version": "1.0", "terraform_version": "1.9", "values": {"root_module": {"resources": [
        {"address": "kafka_topic.a", "mode": "managed", "type": "kafka_topic", "values": {"name": "a", "partitions": 3}},
        {"address": "kafka_acl.a", "type": "kafka_acl", "values": {"acl_principal": "User:a", "resource_name": "a", "resource_type": "Topic", "acl_permission_type": "Allow", "resource_pattern_type_filter": "Prefixed"}},
        {"address": "kafka_quota.a", "type": "kafka_quota", "values": {"entity_name": "a", "entity_type": "user", "config": {"producer_byte_rate": "1"}}},
        {"address": "confluent_kafka_client_quota.a", "type": "confluent_kafka_client_quota", "values": {"principals": ["sa-1"], "throughput": [{"ingress_byte_rate": "1"}]}},
        {"address": "confluent_service_account.a", "type": "confluent_service_account", "values": {"id": "sa-1", "display_name": "n"}},
        {"address": "confluent_connector.a", "type": "confluent_connector", "values": {"config_nonsensitive": {"name": "c", "topics": "a,b"}}},
        {"address": "confluent_tag_binding.a", "type": "confluent_tag_binding", "values": {"tag_name": "PII", "entity_name": "e:c:a", "entity_type": "kafka_topic"}},
        {"address": "x", "type": "confluent_business_metadata_binding", "values": {"entity_name": "e:c:a", "entity_type": "kafka_topic", "attributes": {"owner": "t"}}}],
        "child_modules": [{"resources": []}]}}},
    {"version": 4, "terraform_version": "1.9", "resources": [{"mode": "managed", "type": "kafka_topic", "name": "b", "instances": [{"attributes": {"name": "b"}}]}]},
)  # fmt: skip
COLLECT: tuple[Any, ...] = (
    {"interval": "15s", "clusters": [{"name": "prod-eu", "kafka": {"bootstrap": "b1:9092", "security_protocol": "SASL_SSL", "username": "k", "password_env": "HOME"},
     "groups": {"include": ["*"], "exclude": ["console-consumer-*"], "interval": "5s"}, "topology": {},
     "metrics": [{"url": "http://b1:9404/metrics", "source": "broker", "id": "1", "rack": "a", "aliases": "strimzi"}],
     "connect": [{"name": "connect-a", "url": "http://c1:8083", "systems": {"o": "es"}}]}]},
)  # fmt: skip


def targets() -> list[Target]:
    """All of them."""
    cases = documents("tests/cases/*.yaml")
    policies = (whole_policy(),) * 8 + documents("tests/unit/admin/bad/policy/*.yaml")
    rows = documents("deploy/examples/ownership/*.yaml") + documents("tests/unit/admin/bad/ownership/[a-mo-z]*.yaml")
    causes = documents("kroute/diagnosis/catalogue/*.yaml")
    aliases = documents("kroute/collect/aliases/*.yaml", 200) or (
        {"rules": [{"signal": "cpu_ratio", "metrics": ["a"], "where": {"x": "/a/"}}], "include": ["jvm"]},
    )
    everything = cases[:8] + policies + rows + causes[:8]
    return [
        Target("yaml", "yaml", everything, refusing(_yaml, BadFile), 0.15),
        Target("policy", "yaml", policies, _policy, 0.01),
        Target("ownership", "yaml", rows, _ownership, 0.15),
        Target("catalogue", "yaml", causes, _cause, 0.1),
        Target("case", "yaml", cases, refusing(lambda d: read_case(scratch(d, "case.yaml")), BadFile), 0.15),
        Target(
            "collect config",
            "yaml",
            COLLECT,
            refusing(lambda d: load_config(scratch(d, "collect.yaml"), {"HOME": "x"}), BadFile),
            0.3,
        ),
        Target("alias table", "yaml", aliases, refusing(lambda d: load_yaml(scratch(d, "alias.yaml"), AliasFile), BadFile), 0.1),
        Target("backstage", "yaml", BACKSTAGE, refusing(partial(_import, "catalog.yaml"), BadFile), 0.15),
        Target("strimzi", "yaml", STRIMZI, refusing(partial(_import, "topics.yaml"), BadFile), 0.15),
        Target("strimzi json", "json", STRIMZI, refusing(partial(_import, "topics.json"), BadFile), 0.15),
        Target("terraform", "json", TERRAFORM, refusing(partial(_import, "state.tfstate"), BadFile), 0.8),
        Target("kroute check", "yaml", everything, _check, 0.01),
        Target("settings", "text", tuple(f"{k}={v}" for k, v in SETTINGS.items()), refusing(_settings, ConfigError), 4.0),
        Target("notations", "text", SMALL, _small, 4.0),
    ]
