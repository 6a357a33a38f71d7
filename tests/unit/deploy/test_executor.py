"""The example executor: acts only where kroute says ``auto``, on the newest revision, once, and undoes what it did."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from kroute.cli.main import cli
from kroute.contracts.rows import Control
from kroute.diagnosis.load import shipped
from kroute.report.source import from_files
from kroute.routing.times import rfc3339
from kroute.testing.run import settings_for_cases
from tests.unit.report.world import T0, alert, route

FOLDER = Path(__file__).parents[3] / "deploy" / "executor"


def load() -> ModuleType:
    """The script, which is no package."""
    spec = importlib.util.spec_from_file_location("scale_consumer", FOLDER / "scale_consumer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale_consumer"] = module
    spec.loader.exec_module(module)
    return module


executor = load()
TARGET = executor.Target("pay", "checkout-consumer", limit=6, step=2)
KNOWN = {("prod", "checkout"): TARGET}
NOW = T0 + 60_000


def automation(**more: Any) -> dict[str, Any]:
    return {"verdict": "auto", "remedy": "scale-consumers", "valid_until": rfc3339(NOW + 1), "proved": {}, "missing": [], **more}


def auto(revision: int = 1, **more: Any) -> dict[str, Any]:
    type_ = more.pop("type_", "opened")
    fields = {"automation": automation(**more.pop("automation", {})), **more}
    return alert("inc-1", revision, 0, type_, [route("team-pay")], **fields)


RUN = {"remedy": "scale-consumers", "reported": "succeeded", "by": "executor", "started_at": "x", "outcome": "made-worse", "since": "x",
       "why": "", "roll_back": True, "rollback": "Remove them", "rollback_owner": "team-pay"}  # fmt: skip


class Fake:
    """A cluster of Deployments, and the reports in the order of what was done."""

    def __init__(self, have: int = 3, broken: bool = False) -> None:
        self.have = have
        self.broken = broken
        self.log: list[Any] = []

    def replicas(self, target: Any) -> int:
        return self.have

    def scale(self, target: Any, replicas: int) -> None:
        if self.broken:
            raise subprocess.CalledProcessError(1, "kubectl")
        self.have = replicas
        self.log.append(replicas)

    def report(self, state: str, why: str) -> None:
        self.log.append((state, why))


def decide(record: dict[str, Any], reports: dict[str, tuple[str, str]] | None = None, now_ms: int = NOW) -> Any:
    state = executor.State(reports=dict(reports or {}))
    state.take(record)
    return executor.decide(record, state, KNOWN, now_ms)


def test_it_scales_where_kroute_says_auto() -> None:
    plan = decide(auto())
    assert (plan.what, plan.target) == ("scale", TARGET)


@pytest.mark.parametrize(
    ("record", "reports", "now_ms", "why"),
    [
        (auto(automation={"verdict": "propose"}), None, NOW, "the verdict is propose for scale-consumers"),
        (auto(automation={"verdict": "human", "remedy": None}), None, NOW, "the verdict is human for None"),
        (auto(automation={"remedy": "pause-connector"}), None, NOW, "the verdict is auto for pause-connector"),
        (auto(), None, NOW + 1, "the verdict is no longer valid"),
        (auto(automation={"valid_until": None}), None, NOW, "the verdict is no longer valid"),
        (auto(cluster="other"), None, NOW, "no consumer of this file"),
        (auto(), {"inc-1": ("started", "x from 3 to 5")}, NOW, "it was started before"),
        (auto(), {"inc-1": ("failed", "")}, NOW, "it was failed before"),
        (auto(), {"inc-1": ("rolled-back", "")}, NOW, "it was rolled-back before"),
        (auto(type_="resolved"), None, NOW, "it does not fire"),
        ({"type": "heartbeat", "status": "firing"}, None, NOW, "it does not fire"),
        (auto(remedies=[RUN]), None, NOW, "it is to be undone, and was not done here"),
        (auto(remedies=[RUN]), {"inc-1": ("rolled-back", "x from 3 to 5")}, NOW, "it is to be undone, and was not done here"),
    ],
)  # fmt: skip
def test_it_does_nothing_unless_everything_holds(record: Any, reports: Any, now_ms: int, why: str) -> None:
    assert (decide(record, reports, now_ms).what, decide(record, reports, now_ms).why) == ("nothing", why)


def test_it_acts_on_the_newest_revision_only() -> None:
    state = executor.State()
    old, new = auto(1), auto(2, automation={"verdict": "propose"})
    assert state.take(old)
    assert state.take(new)
    assert not state.take(old)  # a repeat, or one that comes late
    assert executor.decide(old, state, KNOWN, NOW).why == "a newer revision is known"
    assert executor.decide(new, state, KNOWN, NOW).what == "nothing"


def test_it_reports_before_it_acts_and_after() -> None:
    fake = Fake()
    said = executor.perform(decide(auto()), fake, fake.report, execute=True)
    assert fake.log == [("started", "pay/checkout-consumer from 3 to 5"), 5, ("succeeded", "pay/checkout-consumer from 3 to 5")]
    assert said == "inc-1: scale pay/checkout-consumer from 3 to 5"


def test_a_dry_run_changes_and_reports_nothing() -> None:
    fake = Fake()
    said = executor.perform(decide(auto()), fake, fake.report, execute=False)
    assert (fake.log, said) == ([], "inc-1: dry run, would scale pay/checkout-consumer from 3 to 5")


@pytest.mark.parametrize(("have", "log"), [(5, 6), (6, None), (9, None)])
def test_it_never_goes_over_the_limit_nor_down_to_it(have: int, log: int | None) -> None:
    fake = Fake(have)
    executor.perform(decide(auto()), fake, fake.report, execute=True)
    scaled = [x for x in fake.log if isinstance(x, int)]
    assert scaled == ([log] if log is not None else [])


def test_what_failed_is_reported_as_failed() -> None:
    fake = Fake(broken=True)
    executor.perform(decide(auto()), fake, fake.report, execute=True)
    assert [x[0] for x in fake.log] == ["started", "failed"]


def test_it_undoes_what_it_did_itself_once() -> None:
    fake = Fake(have=5)
    plan = decide(auto(remedies=[RUN]), {"inc-1": ("succeeded", "pay/checkout-consumer from 3 to 5")})
    assert plan.what == "undo"
    executor.perform(plan, fake, fake.report, execute=True)
    assert fake.log == [3, ("rolled-back", "pay/checkout-consumer from 5 to 3")]


def test_an_undo_that_finds_nothing_to_undo_says_that_it_is_undone() -> None:
    fake = Fake(have=3)
    plan = decide(auto(remedies=[RUN]), {"inc-1": ("started", "pay/checkout-consumer from 3 to 5")})
    executor.perform(plan, fake, fake.report, execute=True)
    assert [x[0] for x in fake.log] == ["rolled-back"]


def test_its_own_reports_are_known_after_a_restart_and_those_of_others_are_not_its_own() -> None:
    state = executor.State()
    report = {"kind": "action", "incident": "inc-1", "remedy": "scale-consumers", "state": "started", "why": "from 3 to 5"}
    state.take_report({**report, "remedy": "pause-connector"})
    state.take_report({"kind": "ack", "incident": "inc-1"})
    state.take_report(None)
    assert state.reports == {}
    state.take_report(report)
    assert state.reports == {"inc-1": ("started", "from 3 to 5")}


def test_the_example_file_is_read_and_a_bad_one_is_one_line(tmp_path: Path) -> None:
    assert executor.targets(FOLDER / "executor.yaml") == {
        ("prod-eu", "checkout"): executor.Target("pay", "checkout-consumer", 12, 2)
    }
    bad = tmp_path / "bad.yaml"
    bad.write_text("consumers: [{cluster: a}]")
    with pytest.raises(SystemExit, match=r"bad\.yaml: KeyError: 'group'; consumers is a list of"):
        executor.targets(bad)


def test_its_remedy_is_one_of_the_catalogue_that_may_be_automated() -> None:
    [remedy] = [r for r in shipped().causes["slow-consumer"].remedies if r.id == executor.REMEDY]
    assert (remedy.review, remedy.rollback is not None, remedy.success is not None, remedy.failure is not None) == (
        "auto", True, True, True,
    )  # fmt: skip


def test_its_reports_are_of_the_contract() -> None:
    value = {"kind": "action", "id": "inc-1-scale-consumers", "at_ms": 1, "by": "x", "why": "y", "incident": "inc-1",
             "remedy": "scale-consumers", "state": "started"}  # fmt: skip
    assert msgspec.convert(value, Control).state == "started"


def test_the_manifest_acts_on_nothing_unless_told_to_and_has_the_least_rights() -> None:
    parts = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))
    arguments = next(p for p in parts if p["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--execute" not in arguments
    rules = next(p for p in parts if p["kind"] == "Role")["rules"]
    assert all(r["resourceNames"] for r in rules)
    assert {v for r in rules for v in r["verbs"]} == {"get", "update", "patch"}


def test_the_alert_that_the_engine_writes_is_acted_on(tmp_path: Path) -> None:
    """A slow stateless group, granted and drilled: from signals to the executor's plan, with nothing written by hand."""
    case, recording = Path(__file__).parents[2] / "cases" / "scaling-a-stateless-consumer-is-granted.yaml", tmp_path / "r.jsonl"
    made = CliRunner().invoke(cli, ["test", str(case), "--write-recording", str(recording)])
    assert made.exit_code == 0, made.output
    [revisions] = from_files([recording], settings_for_cases()).alerts.values()
    opened = revisions[0]
    state, known = executor.State(), {("test", "checkout"): TARGET}
    state.take(opened)
    now = int(datetime.fromisoformat(opened["updated_at"]).timestamp() * 1000)
    plan = executor.decide(opened, state, known, now)
    assert (plan.what, plan.target) == ("scale", TARGET)
    later = executor.decide(opened, state, known, now + 901_000)
    assert later.why == "the verdict is no longer valid"
