"""kroute on a broker that lets nobody in unproved, with exactly the rights that ``kroute acls`` prints, and without one."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import confluent_kafka
import pytest
import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic
from faust.auth import SSLCredentials

from kroute.errors import KrouteError
from kroute.local.artefacts import resolve
from kroute.reach import Reach
from kroute.redact import MASK
from kroute.settings import load
from kroute.stream.app import credentials
from tests.conftest import _not_to_be_had
from tests.kafka.connectstub import ConnectStub
from tests.kafka.helpers import unique, wait_for
from tests.kafka.secured import MECHANISMS, REAUTH_MS, Secured, binding
from tests.kafka.site import PROCESSES, SECRETS, WEB_TOKEN, Notifier, Site

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
OWNERS = """
team: team-data
page: pagerduty://data
notify: slack://data
cluster: prod
clusters: {prod: {owner: team-data}}
connectors: {connect-a/orders: {owner: team-data}}
"""
POLICY = {"realms.yaml": "realms: {sre: [ack, verdict], '': []}\n", "numbers.yaml": "defaults: {settle_s: 1, hold_s: 5}\n"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    it = Secured(tmp_path_factory.mktemp("secured"), SECRETS)
    try:
        try:
            it.start()
        except KrouteError as e:
            _not_to_be_had("a secured Kafka", e)
        shop(it)
        yield it
    finally:
        it.stop()


def shop(broker: Secured) -> None:
    """A topic, and a group that has committed: what a collector finds on the cluster that it polls."""
    orders = NewTopic("orders", num_partitions=1, replication_factor=1)
    broker.admin.create_topics([orders])["orders"].result(30)
    client = {**broker.client("plain", "admin"), "group.id": "shop", "enable.auto.commit": "false"}
    consumer = confluent_kafka.Consumer(client)
    try:
        where = [confluent_kafka.TopicPartition("orders", 0, 7)]
        wait_for(lambda: consumer.commit(offsets=where, asynchronous=False), 30, "a commit")
    finally:
        consumer.close()


def policy_folder(folder: Path) -> str:
    (folder / "policy").mkdir()
    for name, text in POLICY.items():
        (folder / "policy" / name).write_text(text)
    return str(folder / "policy")


@pytest.mark.parametrize("how", MECHANISMS)
def test_worker_collector_and_tools_run_with_exactly_the_acls_that_are_printed(broker: Secured, how: str, tmp_path: Path) -> None:
    site = Site(broker, how, tmp_path)
    broker.allow(binding(r) for r in site.rows() + site.rows("source"))
    with ConnectStub(broker.authority) as connect:
        try:
            site.create_topics()
            owners = tmp_path / "own.yaml"
            owners.write_text(OWNERS)
            assert "written in" in site.run("ownership", "ownership", "apply", str(owners))
            assert "in force" in site.run("policy", "policy", "apply", policy_folder(tmp_path), "--why", "first")
            worker = site.start_worker()
            collector = site.start("collect", "collect", "--config", site.collect_file(connect), who="collector")
            notifier = Notifier(site)
            try:
                opened = wait_for(notifier.incident, 90, f"an alert\n{site.log('worker')}\n{site.log('collect')}")
                assert opened is not None
                assert opened["cause"]["root"]["name"] == "connect-a/orders"
                assert [r["team"] for r in opened["routes"] if r["role"] == "diagnosis"] == ["team-data"]
                incident = opened["incident"]
                site.run("alice", "ack", incident, "--realm", "sre", "--why", "looking")
                wait_for(lambda: notifier.incident("acknowledged"), 30, f"the acknowledgement\n{site.log('worker')}")
            finally:
                notifier.close()
            assert "team-data" in site.run("reader", "explain", incident)
            polled(broker, site)
            if how == "plain":
                other_tools(broker, site)
            if how == "oauth":
                renewed(broker, site)
            pages = [site.get(p, WEB_TOKEN)[1] for p in ("/metrics", "/health", "/ready", "/no-such-page")]
            assert "kroute_correlate_alerts_total" in pages[0]
            assert site.get("/metrics")[0] == 401
            assert worker.poll() is None
            assert collector.poll() is None
            for log in ("worker", "collect"):
                assert "lacks" not in site.log(log)
                # librdkafka proves itself anew on a connection that lives; within a second of its start brokers say no to
                # that, and it connects again. With tokens of some seconds, on a busy machine, that happens.
                assert how == "oauth" or "refuses" not in site.log(log)
        finally:
            site.stop()
    debug = site.log("worker")
    assert "SaslAuthenticate" in debug, "the client logs its authentication"
    assert f"sasl_auth_bytes={MASK}" in debug
    # A dead letter carries what was refused, and JSON in base64 begins as a token does.
    assert "eyJ" not in re.sub(r'"payload_b64":"[^"]*"', "", debug), "nor a part of a token"
    told = [debug, site.log("collect"), *pages, *site.said, *(str(read(broker, t)) for t in topics(broker, site))]
    told += [path.read_text() for path in tmp_path.glob("*.jsonl")]
    for secret in (*SECRETS.values(), connect.password, WEB_TOKEN):
        for way in ways(secret):
            assert not [t[max(0, t.index(way) - 300) : t.index(way)] for t in told if way in t]


def polled(broker: Secured, site: Site) -> None:
    """The collector read all that its rights are for, on the cluster that it polls."""
    lag = read(broker, f"{site.app}.consumer-lag")
    told = [r["partitions"] for r in lag if r.get("partitions")]
    assert [p["committed"] for p in told[-1]] == [7], lag[-3:]
    placed = next(r for r in reversed(read(broker, f"{site.app}.topology")) if r.get("brokers"))
    assert [t["config"] != {} for t in placed["topics"] if t["name"] == "orders"] == [True]
    assert placed["brokers"][0]["log_dirs"]
    assert placed["controller"]["voters"] == [1]


def other_tools(broker: Secured, site: Site) -> None:
    """Commands that reach Kafka in the same way: once is enough."""
    asked = ["--cause", "sink-failed", "--root", "connector/connect-a/orders", "--cluster", "prod"]
    assert "team-data" in site.run("reader", "route", *asked)
    declared = ["declare", "maintenance", "broker/1", "--cluster", "prod", "--for", "1h", "--why", "disk"]
    site.run("changes", "change", *declared)
    refused_silence(broker, site)
    site.run("reader", "record", "--until-end", "--out", str(site.folder / "recording.jsonl"))
    assert 'kroute_correlate_controls_refused_total{kind="silence",realm="sre"} 1.0' in site.get("/metrics", WEB_TOKEN)[1]
    bad = site.folder / "bad"
    bad.mkdir()
    (bad / "p.yaml").write_text("routes: 3\n")
    site.run("policy", "check", str(bad), status=2)


def ways(secret: str) -> list[str]:
    """How a secret may be written: as it is, for a URL, in base64 alone or with its user."""
    logins = [secret, *(f"{user}:{secret}" for user in (*PROCESSES, ConnectStub.username))]
    whole = [base64.b64encode(w.encode()).decode() for w in logins]
    return [secret, quote_plus(secret), quote(secret, safe=""), *whole]


def topics(broker: Secured, site: Site) -> list[str]:
    """This installation's topics that hold JSON."""
    found = broker.admin.list_topics(timeout=10).topics
    return [t for t in found if t.startswith((f"{site.app}.", f"{site.app}-alerts")) and not t.endswith(".placement")]


def refused_silence(broker: Secured, site: Site) -> None:
    """A silence that the ACL lets alice write and the policy does not let her realm give, by whomever it says it is."""
    value = {
        "kind": "silence", "id": "s1", "at_ms": int(time.time() * 1000), "by": "the boss", "why": "hush",
        "matchers": {"cause": "sink-*"}, "until_ms": int(time.time() * 1000) + 3_600_000,
    }  # fmt: skip
    said = site.run("alice", "silence", "add", "--match", "cause=x", "--for", "1h", "--realm", "sre", "--why", "x", status=2)
    assert "does not let realm sre give a silence" in said
    producer = confluent_kafka.Producer(broker.client("scram", "alice"))
    producer.produce(f"{site.app}.controls.sre", json.dumps(value), "silence/s1")
    assert producer.flush(20) == 0
    letters = wait_for(lambda: read(broker, f"{site.app}.dead-letter"), 30, "a dead letter")
    assert [(d["reason"], d["topic"]) for d in letters] == [("not-allowed", f"{site.app}.controls.sre")]
    assert letters[0]["detail"].endswith("does not let realm sre give a silence")


def renewed(broker: Secured, site: Site) -> None:
    """The first tokens have ended, the broker has closed what was opened with them, and all goes on."""
    assert broker.tokens.life_s < REAUTH_MS / 1000, "connections live as long as their token"
    began = time.monotonic()
    asked = broker.tokens.asked.copy()
    wait_for(lambda: all(broker.tokens.asked.count(p) > asked.count(p) for p in ("worker", "collector")), 60, "new tokens")
    wait_for(lambda: time.monotonic() - began > broker.tokens.life_s, 60, "the end of the tokens before")
    end = len(read(broker, f"{site.app}-alerts"))
    lag = len(read(broker, f"{site.app}.consumer-lag"))
    wait_for(lambda: len(read(broker, f"{site.app}-alerts")) > end + 1, 60, f"heartbeats go on\n{site.log('worker')}")
    wait_for(lambda: len(read(broker, f"{site.app}.consumer-lag")) > lag + 1, 60, f"polls go on\n{site.log('collect')}")


def read(broker: Secured, topic: str) -> list[dict[str, Any]]:
    """All JSON values of a topic, as the broker's administrator."""
    consumer = confluent_kafka.Consumer({**broker.client("plain", "admin"), "group.id": "x", "enable.partition.eof": "true"})
    found = []
    try:
        parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in parts])
        left = set(parts)
        while left:
            message = consumer.poll(10)
            assert message is not None
            if message.error() is not None:
                left.discard(message.partition())
            elif message.value() is not None:
                found.append(json.loads(message.value() or b""))
    finally:
        consumer.close()
    return found


LACKING = [
    ("worker", "Read", "{app}.consumer-lag", ["worker"], "lacks Read on topic {app}.consumer-lag. `kroute acls worker`"),
    ("worker", "Write", "{app}-alerts", ["worker"], "lacks Write on topic {app}-alerts. "),
    ("worker", "Read", "{app}", ["worker"], "lacks Read on group {app}. "),
    ("worker", "Describe", "{app}-reader", ["worker"], "lacks Describe on group {app}-reader. "),
    ("collector", "Write", "{app}.connector-status", ["collect", "--once", "--config", "{file}"], "user collector lacks Write on topic {app}.connector-status. "),
    ("ownership", "Write", "{app}.ownership", ["ownership", "apply", "{own}"], "lacks Write on topic {app}.ownership. "),
    ("policy", "Read", "{app}.ownership", ["policy", "apply", "{policy}", "--why", "x"], "on topic {app}.ownership. "),
    ("responder sre", "Write", "{app}.controls.sre", ["ack", "inc-1", "--unchecked", "--realm", "sre", "--why", "x"], "user alice lacks Write on topic {app}.controls.sre. "),
    ("responder sre", "Read", "{app}.policy", ["ack", "inc-1", "--unchecked", "--realm", "sre", "--why", "x"], "user alice lacks Read on topic {app}.policy. "),
    ("reader", "Read", "{app}-alerts", ["explain", "inc-1"], "lacks Read on topic {app}-alerts. "),
    ("changes", "Write", "{app}.changes", ["change", "declare", "freeze", "cluster/prod", "--cluster", "prod", "--for", "1h", "--why", "x"], "lacks Write on topic {app}.changes. "),
]  # fmt: skip


def test_without_one_of_them_a_process_names_what_is_missing(broker: Secured, tmp_path: Path) -> None:
    site = Site(broker, "plain", tmp_path)
    rows = site.rows()
    broker.allow(binding(r) for r in rows + site.rows("source"))
    site.create_topics()
    (tmp_path / "own.yaml").write_text(OWNERS)
    with ConnectStub(broker.authority) as connect:
        given = {
            "app": site.app, "file": site.collect_file(connect), "own": str(tmp_path / "own.yaml"),
            "policy": policy_folder(tmp_path),
        }  # fmt: skip
        for process, operation, name, arguments, says in LACKING:
            lost = [
                r for r in rows
                if (r["process"], r["operation"], r["name"]) == (process, operation, name.format(**given))
            ]  # fmt: skip
            assert len(lost) == 1, (process, operation, name)
            broker.deny(map(binding, lost))
            who = {"responder sre": "alice"}.get(process, process)
            data = ["--datadir", str(tmp_path / unique("data")), "--web-port", "0"] if process == "worker" else []
            words = [a.format(**given) for a in (*arguments, *data)]
            said = site.run(who, *words, status=2)
            assert says.format(**given) in said, said
            broker.allow(map(binding, lost))


def test_who_has_no_rights_at_all_is_told_so_and_a_wrong_secret_is_a_refusal(broker: Secured, tmp_path: Path) -> None:
    site = Site(broker, "scram", tmp_path)
    said = site.run("worker", "worker", "--datadir", str(tmp_path / "data"), "--web-port", "0", status=2)
    assert f"user worker lacks Read on topic {site.app}.access, {site.app}.broker-metrics, " in said
    assert f"; Read and Write on topic {site.app}-broker_metrics-changelog, " in said
    assert f"; Read on group {site.app}; Describe on group {site.app}-reader. " in said
    broker.allow(binding(r) for r in site.rows("worker") if r["operation"] != "Create")
    said = site.run("worker", "worker", "--datadir", str(tmp_path / "data"), "--web-port", "0", status=2)
    assert f"lacks Create on topic {site.app}." in said
    wrong = tmp_path / "wrong"
    wrong.write_text("not the secret of worker")
    said = site.run("worker", "explain", "inc-1", status=2, KROUTE_PASSWORD_FILE=str(wrong))
    assert "refuses user worker" in said
    assert "invalid credentials" in said
    said = site.run("worker", "explain", "inc-1", status=2, KROUTE_SSL_CAFILE=str(certificate_of_another(tmp_path)))
    assert "certificate" in said
    token = Site(broker, "oauth", tmp_path)
    said = token.run("worker", "explain", "inc-1", status=2, KROUTE_OAUTH_CLIENT_SECRET_FILE=str(wrong))
    assert f"token endpoint {broker.tokens.url}: HTTP 401: invalid_client" in said
    assert "not the secret" not in said


def certificate_of_another(folder: Path) -> Path:
    path = folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


def test_a_client_certificate_is_a_way_too(broker: Secured, tmp_path: Path) -> None:
    cert, key = broker.certificate("reader")
    site = Site(broker, "plain", tmp_path)
    env = {
        "KROUTE_BOOTSTRAP": broker.bootstrap("mtls"), "KROUTE_SECURITY_PROTOCOL": "SSL",
        "KROUTE_SSL_CAFILE": str(broker.cafile), "KROUTE_SSL_CERTFILE": str(cert), "KROUTE_SSL_KEYFILE": str(key), **site.names,
    }  # fmt: skip
    settings = load(env)
    assert isinstance(credentials(settings.kafka), SSLCredentials)
    assert Reach(settings.kafka).topics([f"{site.app}.x"]) == {f"{site.app}.x": frozenset()}
    broker.allow(binding(r) for r in site.rows("reader"))
    assert Reach(settings.kafka).topics([f"{site.app}.policy"]) == {f"{site.app}.policy": None}, "it may see that there is none"


def test_the_printed_commands_do_what_the_list_says(broker: Secured, tmp_path: Path) -> None:
    site = Site(broker, "plain", tmp_path)
    config = tmp_path / "admin.properties"
    secret = broker.users["admin"]
    config.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nssl.truststore.type=PEM\n"
        f"ssl.truststore.location={broker.cafile}\n"
        f'sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="{secret}";\n'
    )
    options = ["--principal", "notifier=User:notifier", "--group", site.group]
    printed = site.run("notifier", "acls", "notifier", *options, "--command-config", str(config))
    commands = [shlex.split(line) for line in printed.splitlines() if not line.startswith("#")]
    assert [c[0] for c in commands] == ["kafka-acls"] * 2
    for words in commands:
        java = resolve().command("org.apache.kafka.tools.AclCommand", *words[1:], heap_mb=64)
        done = subprocess.run(java, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
    wanted = site.run("notifier", "acls", "notifier", *options, "--format", "json")
    parts: list[Any] = [ResourceType.ANY, None, ResourcePatternType.ANY, "User:notifier", None]
    every: Any = AclBindingFilter(*[*parts, AclOperation.ANY, AclPermissionType.ANY])
    held = [b for b in broker.admin.describe_acls(every).result(30) if site.app in b.name]
    assert sorted(map(str, held)) == sorted(str(binding(r)) for r in json.loads(wanted))
