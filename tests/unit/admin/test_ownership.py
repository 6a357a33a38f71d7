"""Ownership files: what they mean, what is wrong with them, what applying them would do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from kroute.admin import log
from kroute.admin.ownership import folder
from kroute.admin.ownership.audit import RULES, audit
from kroute.admin.ownership.check import check, index
from kroute.admin.ownership.plan import SET_HEADER, plan
from kroute.cli import ownership
from kroute.contracts.common import Entity
from kroute.contracts.rows import Ownership

BAD = sorted((Path(__file__).parent / "bad" / "ownership").glob("*.yaml"))
PAY = """
team: team-pay
page: pagerduty://pay
notify: slack://pay
cluster: prod
defaults: {runbook: "https://run/pay"}
services:
  checkout: {freshness: 1m30s, data_age: 600, tier: 1, stateless: true, customer_function: people can pay}
groups:
  checkout: {service: checkout}
  checkout-*: {service: checkout, schedule: 1h, owner: team-batch}
topics:
  payments.*: {service: checkout, data_class: pci, labels: {pii: false}}
brokers: {3: }
clusters: {prod: {governance: team-pay}}
teams: {team-batch: {ticket: "jira://BATCH"}}
rows:
  - {kind: topic, name: "odd/name", cluster: other, owner: team-pay}
"""


def run(*args: str) -> Result:
    return CliRunner().invoke(ownership.command, list(args))


def stated(text: str) -> dict[str, Ownership]:
    rows, problems = folder.read_file("f.yaml", text)
    assert problems == []
    return {s.key: s.row for s in rows}


def test_a_file_states_the_rows_of_a_team_with_short_words_for_what_is_common() -> None:
    rows = stated(PAY)
    assert sorted(rows) == [
        "broker/prod/3", "cluster/prod/prod", "group/prod/checkout", "group/prod/checkout-*", "service/prod/checkout",
        "team/*/team-batch", "team/*/team-pay", "topic/other/odd/name", "topic/prod/payments.*",
    ]  # fmt: skip
    assert folder.plain(rows["service/prod/checkout"]) == {
        "kind": "service", "cluster": "prod", "name": "checkout", "owner": "team-pay", "runbook": "https://run/pay",
        "slo": {"freshness_s": 90.0, "data_age_s": 600.0}, "labels": {"tier": "1"}, "stateless": True,
        "customer_function": "people can pay",
    }  # fmt: skip
    assert rows["group/prod/checkout"].owner == "team-pay"
    assert rows["group/prod/checkout-*"].owner == "team-batch"
    assert rows["topic/prod/payments.*"].labels == {"pii": "false"}
    assert folder.plain(rows["team/*/team-pay"]) == {
        "kind": "team", "cluster": "*", "name": "team-pay", "page": "pagerduty://pay", "notify": "slack://pay",
    }  # fmt: skip
    assert rows["topic/other/odd/name"].runbook == "https://run/pay"


def test_rows_of_a_file_may_stand_in_several_clusters() -> None:
    rows = stated("team: t\npage: p://t\ncluster: [a, b]\ntopics: {x: , y: {cluster: '*'}}\n")
    assert sorted(rows) == ["team/*/t", "topic/*/y", "topic/a/x", "topic/b/x"]


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_each_mistake_is_told_with_its_line_and_field(path: Path) -> None:
    line, _, message = path.read_text().splitlines()[0].removeprefix("# ").partition(": ")
    result = run("check", str(path))
    assert result.exit_code == 2
    told = result.output.replace(f"{path.parent}/", "").splitlines()
    assert told == [f"{path.name}:{line}: {message}", "1 problem"]


def test_keys_that_stand_in_two_files_and_a_folder_without_files(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(
            "cluster: c\nteam: t\npage: p://t\n" if name == "a.yaml" else "teams: {t: {page: 'p://t'}}\n"
        )
    result = run("check", str(tmp_path))
    assert f"b.yaml:1: teams.t: team/*/t stands in {tmp_path / 'a.yaml'}:1 too" in result.output
    (tmp_path / "empty").mkdir()
    assert "has no .yaml file in it" in run("check", str(tmp_path / "empty")).output


def test_names_may_lead_out_of_a_part_of_the_files() -> None:
    rows, _ = folder.read_file("f.yaml", "cluster: c\ngroups: {g: {owner: far, service: away}}\n")
    assert len(check(rows)) == 2
    assert check(rows, partial=True) == []


def kept(rows: dict[str, Ownership], set_name: str | None, **more: bytes) -> dict[str, log.Kept]:
    headers = {} if set_name is None else {SET_HEADER: set_name.encode()}
    out = {k: log.Kept("t", 1, 0, 0, k, folder.encode(r), headers) for k, r in rows.items()}
    return out | {k: log.Kept("t", 2, 0, 0, k, v, headers) for k, v in more.items()}


def test_a_plan_touches_what_differs_and_deletes_only_its_own() -> None:
    old = stated("cluster: c\nteam: t\npage: p://t\ntopics: {same: , moved: {data_class: pci}, gone: }\n")
    live = kept(old, "main") | kept(stated("cluster: c\ntopics: {theirs: , alike: , else: {owner: x}}\n"), None)
    live |= kept(stated("cluster: c\ntopics: {other-set: {owner: y}}\n"), "other")
    wanted, _ = folder.read_file(
        "f",
        "cluster: c\nteam: t\npage: p://t\ntopics: {same: , moved: {data_class: pii}, new: , else: {owner: t}, alike: {owner: }}\n",
    )
    p = plan(live, wanted, "main")
    assert [s.key for s in p.added] == ["topic/c/new"]
    assert [s.key for s in p.changed] == ["topic/c/moved"]
    assert [s.key for s in p.deleted] == ["topic/c/gone"], "rows of nobody and of another set stay"
    assert [s.key for s in p.foreign] == ["topic/c/else"]
    assert [s.key for s in p.adopted] == ["topic/c/alike"]
    assert (p.same, p.of_set, p.empty) == (2, 4, False)
    assert p.changed[0].lines() == ["~ topic/c/moved", "    data_class: pci → pii"]
    assert [s.key for s in p.steps(adopt=False)] == ["topic/c/moved", "topic/c/new", "topic/c/gone"]
    assert [s.partition for s in p.deleted] == [1], "a tombstone goes where the row stands"


def test_a_row_is_the_same_when_its_fields_are_and_one_that_cannot_be_read_is_replaced() -> None:
    wanted, _ = folder.read_file("f", "cluster: c\nteam: t\npage: p://t\ntopics: {x: }\n")
    live = {s.key: log.Kept("t", 0, 0, 0, s.key, msgspec.json.encode(s.row), {SET_HEADER: b"main"}) for s in wanted}
    assert plan(live, wanted, "main").empty
    live["topic/c/x"] = live["topic/c/x"]._replace(value=b'{"kind": 7}')
    assert [s.key for s in plan(live, wanted, "main").changed] == ["topic/c/x"]


def test_teams_are_written_first_and_deletes_last() -> None:
    wanted, _ = folder.read_file("f", PAY)
    steps = plan(kept(stated("cluster: c\nconnectors: {a: }\n"), "main"), wanted, "main").steps(adopt=False)
    assert [s.key.partition("/")[0] for s in steps][:4] == ["team", "team", "cluster", "service"]
    assert steps[-1].value is None


AUDITED = """
team: t
notify: slack://t
cluster: c
services:
  bare: {tier: 1}
  good: {freshness: 1m, customer_function: x, runbook: "https://r"}
  by-group: {customer_function: x, runbook: "https://r"}
groups: {g: , in: {service: by-group, slo: {freshness_s: 5}}}
connectors: {k/x: {service: good}}
links: {l: {source_cluster: a, target_cluster: b, dual_run_until: "2020-01-01"}}
topics: {pay.a: {owner: gone}, "*": }
teams: {idle: {page: "p://i"}, mute: }
rows: [{kind: topic, name: nobody, owner: , service: nowhere}, {kind: topic, name: m, owner: mute}]
"""


def test_an_audit_finds_what_is_missing_and_nothing_else() -> None:
    rows, _ = folder.read_file("f", AUDITED)
    seen = [Entity("topic", "c", "pay.a"), Entity("topic", "c", "log"), Entity("group", "c", "unseen"), Entity("group", "c", "g")]
    found = audit({s.key: s.row for s in rows}, 1_795_427_349_001, seen)
    assert [(f.rule, f.about) for f in found] == [
        ("no-owner", "topic/c/nobody"),
        ("no-team", "topic/c/pay.a"),
        ("no-destination", "team/*/mute"),
        ("no-page", "team/*/t"),
        ("no-service", "group/c/g"),
        ("no-objective", "service/c/bare"),
        ("no-customer-function", "service/c/bare"),
        ("no-runbook", "connector/c/k/x"),
        ("no-runbook", "service/c/bare"),
        ("no-platform", "cluster/c/c"),
        ("no-system", "connector/c/k/x"),
        ("dual-run-over", "link/c/l"),
        ("idle-team", "team/*/idle"),
        ("not-covered", "group/c/unseen"),
        ("star-only", "topic/c/log"),
    ]
    assert {f.rule for f in found} | {"two-partitions"} == set(RULES)


def test_the_path_of_a_resolution_begins_with_the_row_that_wins(tmp_path: Path) -> None:
    text = "cluster: [prod, '*']\nteam: t\npage: p://t\ntopics: {pay.a: , pay.*: , pa*: , '*': }\n"
    rows, _ = folder.read_file("f", text)
    path = index(rows).path("topic", "prod", "pay.a")
    assert [m.via for m in path] == [f"topic/{c}/{n}" for n in ("pay.a", "pay.*", "pa*", "*") for c in ("prod", "*")]
    assert path[0] == index(rows).resolve("topic", "prod", "pay.a")
    (tmp_path / "f.yaml").write_text("cluster: prod\ngroups: {g: {service: s}}\nservices: {s: {owner: t}}\n")
    shown = run("list", "--from", str(tmp_path), "--resolve", "group/prod/g").output
    assert shown.splitlines() == [
        "→ group/prod/g  (literal)  owner=- service=s",
        "its owner is its service's:",
        "→ service/prod/s  (literal)  owner=t service=-",
    ]
    shown = run("list", "--from", str(tmp_path), "--resolve", "topic/prod/x").output
    assert shown == "no row names an owner: fallback:default, team unowned\n"
