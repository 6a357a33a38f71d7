"""Which topics must exist, and which existing ones are refused."""

from __future__ import annotations

import pytest

from kroute.contracts.topics import TABLES, TOPICS
from kroute.errors import ConfigError, StateError
from kroute.settings import Settings
from kroute.stream.topics import check_counts, input_topics, realms, wanted

SETTINGS = Settings(facts_partitions=6, app_id="app")


def test_facts_and_every_changelog_have_the_partitions_of_facts() -> None:
    exact = {t.name: t for t in wanted(SETTINGS) if t.exact}
    assert exact.keys() == {"kroute.facts"} | {f"app-{t}-changelog" for t in TABLES}
    assert {t.partitions for t in exact.values()} == {6}
    for name, topic in exact.items():
        if name != "kroute.facts":
            assert topic.config["cleanup.policy"] == "compact"
            assert topic.config["min.compaction.lag.ms"] == "600000"


def test_every_topic_of_the_contracts_and_of_the_realms_is_created() -> None:
    names = {t.name for t in wanted(SETTINGS, ["sre"])}
    assert {SETTINGS.names.full(t) for t in TOPICS} | {"kroute.controls.sre"} <= names
    assert input_topics(SETTINGS, ["sre"])[-1] == "kroute.controls.sre"


@pytest.mark.parametrize("name", ["kroute.facts", "app-journal-changelog"])
def test_another_partition_count_is_refused_and_the_message_says_what_to_do(name: str) -> None:
    with pytest.raises(
        StateError, match=f"{name} has 4 partitions and KROUTE_FACTS_PARTITIONS is 6.*Set KROUTE_FACTS_PARTITIONS=4"
    ):
        check_counts(wanted(SETTINGS), {name: 4})


def test_inputs_may_have_other_partition_counts() -> None:
    check_counts(wanted(SETTINGS), {"kroute.consumer-lag": 64, "kroute.facts": 6})


def test_realms_come_from_the_environment() -> None:
    assert realms({"KROUTE_REALMS": "sre, payments,,sre"}) == ("payments", "sre")
    assert realms({}) == ()
    with pytest.raises(ConfigError, match="KROUTE_REALMS"):
        realms({"KROUTE_REALMS": "a/b"})
