"""collect.yaml: what is read, and what a mistake in it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from kroute.collect.config import load_config
from kroute.errors import BadFile

GOOD = """\
interval: 15s
clusters:
  - name: prod-eu
    kafka: {bootstrap: "b1:9092", security_protocol: SASL_SSL, username: kroute, password_env: PROD_EU_PASSWORD}
    groups: {include: ["*"], exclude: ["console-consumer-*"], interval: 5s}
    topology: {}
    metrics:
      - {url: "http://b1:9404/metrics", source: broker, id: "1", rack: eu-1a, aliases: strimzi}
      - {url: "http://c1:9404/metrics", source: connect-worker, id: "w1:8083", connect: connect-a, aliases: strimzi}
    connect:
      - {name: connect-a, url: "http://c1:8083", systems: {orders-to-es: elasticsearch-prod}}
"""
ENV = {"PROD_EU_PASSWORD": "s3cret"}


def write(folder: Path, text: str) -> Path:
    path = folder / "collect.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_source_takes_its_own_interval_else_the_files(tmp_path: Path) -> None:
    loaded = load_config(write(tmp_path, GOOD), ENV)
    cluster = loaded.config.clusters[0]
    assert cluster.groups is not None
    assert loaded.interval_ms(cluster.groups.interval) == 5_000
    assert loaded.interval_ms(cluster.metrics[0].interval) == 15_000


def test_a_secret_comes_from_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    kafka = load_config(write(tmp_path, GOOD), ENV).kafka(0)
    assert kafka.password == "s3cret"
    assert kafka.sasl_mechanism == "PLAIN"
    assert "s3cret" not in repr(kafka)


def test_a_secret_comes_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from-file\n", encoding="utf-8")
    text = GOOD.replace("password_env: PROD_EU_PASSWORD", "password_file: password")
    assert load_config(write(tmp_path, text), {}).kafka(0).password == "from-file"


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ("interval: 15s", "interval: 15", ":1: interval", "Expected 'str'"),
        ("interval: 15s", "interval: 15 s", ":1: interval", "regex"),
        ("interval: 15s", "interval: 2h", ":1: interval", "between 100ms and 1h"),
        ("exclude:", "exclud:", ":5: clusters[0].groups", "unknown field 'exclud'"),
        ("password_env: PROD_EU_PASSWORD", "password: s3cret", ":4: clusters[0].kafka", "unknown field 'password'"),
        ("PROD_EU_PASSWORD", "NOT_THERE", ":4: clusters[0].kafka.password_env", "NOT_THERE is not set"),
        ("password_env: PROD_EU_PASSWORD", "password_file: none", ":4: clusters[0].kafka.password_file", "cannot be read"),
        ("source: broker", "source: brocker", ":8: clusters[0].metrics[0].source", "Invalid enum value"),
        (", connect: connect-a", "", ":9: clusters[0].metrics[1]", "needs 'connect'"),
        ("http://c1:9404", "http://b1:9404", None, None),
        ("url: \"http://c1:8083\"", "url: \"c1:8083\"", ":11: clusters[0].connect[0].url", "regex"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_line_and_field(tmp_path: Path, old: str, new: str, where: str | None, says: str | None) -> None:
    path = write(tmp_path, GOOD.replace(old, new))
    if where is None:
        load_config(path, ENV)  # the same URL under another kind of source is no mistake
        return
    with pytest.raises(BadFile) as told:
        load_config(path, ENV)
    assert str(told.value).startswith(f"{path}{where}"), str(told.value)
    assert says is not None
    assert says in str(told.value)


def test_one_cluster_name_stands_once(tmp_path: Path) -> None:
    text = "clusters:\n  - {name: a}\n  - {name: a}\n"
    with pytest.raises(BadFile, match=r"collect.yaml:3: clusters\[1\].name: 'a' stands here twice"):
        load_config(write(tmp_path, text), {})


def test_groups_without_an_address_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"need 'kafka'"):
        load_config(write(tmp_path, "clusters:\n  - name: a\n    groups: {}\n"), {})
