"""What ``kroute schema`` prints is valid, complete and the same as what is sent and taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner

from kroute.cli.schema import command
from kroute.contracts.codec import TYPES
from kroute.contracts.schemas import VALUES, asyncapi, json_schema
from kroute.contracts.topics import INPUTS, TOPICS, Names
from tests.unit.contracts.examples import EXAMPLES
from tests.unit.routing.world import SINK_GROUP, World, plain

each_topic = pytest.mark.parametrize("topic", list(VALUES))


def validator(topic: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema(topic))


@each_topic
def test_every_schema_is_a_schema_and_takes_the_examples(topic: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(topic))
    assert EXAMPLES[topic]
    for example in EXAMPLES[topic]:
        validator(topic).validate(example)


@each_topic
def test_every_schema_refuses_what_is_something_else(topic: str) -> None:
    others: tuple[Any, ...] = (None, [], "x", {"v": 2}, {"v": 1, "facts": 7})
    for value in others:
        assert not validator(topic).is_valid(value)


@pytest.mark.parametrize("topic", [t for t in VALUES if t not in ("facts", "policy")])
def test_every_schema_misses_what_is_required(topic: str) -> None:
    for name in list(EXAMPLES[topic][0]):
        bare = {k: v for k, v in EXAMPLES[topic][0].items() if k != name}
        required = json_schema(topic)["$defs"][VALUES[topic][0].__name__]["required"]
        assert validator(topic).is_valid(bare) is (name not in required and (name, topic) not in
                                                   (("state", "consumer-lag"), ("state", "connector-status")))  # fmt: skip


def test_every_topic_but_the_internal_placement_has_a_schema() -> None:
    assert set(VALUES) == set(TOPICS) - {"placement"}
    assert set(INPUTS) == set(TYPES)


def test_a_record_of_the_router_fits_the_schema_of_its_topic() -> None:
    w = World()
    w.meter.set(SINK_GROUP, "breached")
    w.incident()
    w.tick()
    w.resolve()
    w.tick()
    assert len(w.raw) == 2
    for a in w.raw:
        validator("routed-alerts").validate(plain(a))


def test_the_decoder_of_alerts_takes_the_example_of_the_contract() -> None:
    alert, beat = EXAMPLES["routed-alerts"]
    for value, type_ in zip((alert, beat), VALUES["routed-alerts"], strict=True):
        assert msgspec.convert(value, type_)


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for v in value.values():
            yield from refs(v)
    elif isinstance(value, list):
        for v in value:
            yield from refs(v)


@pytest.mark.parametrize("document", [asyncapi(), *(json_schema(t) for t in VALUES)])
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = list(refs(document))
    assert found
    for ref in found:
        at: Any = document
        assert ref.startswith("#/")
        for step in ref[2:].split("/"):
            at = at[step]


def test_the_asyncapi_document_has_the_parts_of_version_3() -> None:
    doc = asyncapi(Names(prefix="acme."))
    assert doc["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(doc["info"])
    assert doc["channels"]["consumer-lag"]["address"] == "acme.consumer-lag"
    assert doc["channels"]["routed-alerts"]["address"] == "routed-alerts"
    for name, channel in doc["channels"].items():
        assert channel["messages"]
        assert channel["bindings"]["kafka"]["topic"] == channel["address"]
        for ref in channel["messages"].values():
            message = doc["components"]["messages"][ref["$ref"].rpartition("/")[2]]
            assert message["payload"]["$ref"].startswith("#/components/schemas/"), name
    for operation in doc["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        assert all(m["$ref"].startswith(f"{channel}/messages/") for m in operation["messages"])
    receives = {o["channel"]["$ref"].rpartition("/")[2] for o in doc["operations"].values() if o["action"] == "receive"}
    assert receives == {*INPUTS, "facts"}
    headers = doc["components"]["messages"]["RoutedAlert"]["headers"]
    assert set(headers["required"]) == {name for name, _ in _headers()}


def _headers() -> tuple[tuple[str, bytes], ...]:
    w = World()
    w.incident()
    w.tick()
    return w.raw[0].headers


def test_the_asyncapi_schemas_are_of_its_own_dialect() -> None:
    for name, schema in asyncapi()["components"]["schemas"].items():
        jsonschema.Draft7Validator.check_schema(schema)
        assert "prefixItems" not in json.dumps(schema), name
    doc = asyncapi()
    for topic, examples in EXAMPLES.items():
        names = list(doc["channels"][topic]["messages"])
        body = {"anyOf": [{"$ref": f"#/components/schemas/{n}"} for n in names], "components": doc["components"]}
        for example in examples:
            jsonschema.Draft7Validator(body).validate(example)


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, args)
    return result.exit_code, result.output


def test_the_command_prints_one_topic_all_or_the_document() -> None:
    code, text = run("consumer-lag")
    assert (code, json.loads(text)) == (0, json_schema("consumer-lag"))
    assert run("kroute.consumer-lag") == (0, text)
    code, text = run()
    assert set(json.loads(text)) == set(VALUES)
    code, text = run("--asyncapi")
    assert json.loads(text) == asyncapi()


@pytest.mark.parametrize(
    ("args", "said"),
    [(("lag",), "'lag' is no topic of kroute; topics are broker-metrics"), (("facts", "--asyncapi"), "leave TOPIC out")],
)
def test_the_command_says_what_is_wrong_without_a_traceback(args: tuple[str, ...], said: str) -> None:
    code, text = run(*args)
    assert code == 2
    assert said in text
    assert "Traceback" not in text
