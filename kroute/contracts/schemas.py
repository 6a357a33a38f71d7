"""JSON Schema (2020-12) of every topic's value, and an AsyncAPI 3 document of all; both come from the types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

import kroute
from kroute.contracts import alerts, codec
from kroute.contracts.common import Versioned
from kroute.contracts.facts import Envelope, Fact
from kroute.contracts.rows import PolicyChange
from kroute.contracts.topics import TOPICS, Names

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_FACT = msgspec.defstruct(  # a raw value has no schema; any JSON value may stand there
    "Fact",
    [
        (f.name, Any, None) if f.type is msgspec.Raw else (f.name, f.type) if f.required else (f.name, f.type, f.default)
        for f in msgspec.structs.fields(Fact)
    ],
    namespace={"__doc__": Fact.__doc__},
)
_ENVELOPE = msgspec.defstruct(
    "Envelope",
    [("facts", tuple[_FACT, ...], ())],  # type: ignore[valid-type]
    bases=(Versioned,),
    namespace={"__doc__": Envelope.__doc__},
    frozen=True,
    kw_only=True,
)

VALUES: Mapping[str, tuple[type[Any], ...]] = {
    **{topic: (type_,) for topic, type_ in codec.TYPES.items()},
    "policy-history": (PolicyChange,),
    "facts": (_ENVELOPE,),
    "dead-letter": (alerts.DeadLetter,),
    "routed-alerts": (alerts.RoutedAlert, alerts.Heartbeat),
}
"""Topic (short name) → the types its values may have."""

KEYS: Mapping[str, str] = {
    "ownership": "kind/cluster/name",
    "controls": "kind/id",
    "policy": "policy",
    "policy-history": "when it was applied (epoch ms), and its version",
    "facts": "the domain",
    "routed-alerts": "the incident's id, or heartbeat/<cluster>",
}
"""What the key is, where it is not free."""

CLOUDEVENTS: tuple[str, ...] = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "content-type")
"""Headers of ``routed-alerts``: CloudEvents 1.0 in binary mode."""

_STATE_UNLESS_DOWN: dict[str, Any] = {
    "if": {"properties": {"up": {"const": False}}, "required": ["up"]},
    "else": {"properties": {"state": {"type": "string"}}, "required": ["state"]},
}
"""What ``ConsumerLag`` and ``ConnectorStatus`` check beyond their fields: only a failed poll has no state."""


def json_schema(topic: str) -> dict[str, Any]:
    """The JSON Schema of a topic's value, complete in itself; ``topic`` is a short name of ``VALUES``."""
    types = VALUES[topic]
    refs, definitions = _components(types, "#/$defs/{name}")
    body = refs[0] if len(refs) == 1 else {"anyOf": list(refs)}
    return {"$schema": DIALECT, "title": TOPICS[topic].short, **body, "$defs": definitions}


def asyncapi(names: Names | None = None) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of all topics, seen from kroute: it receives the inputs and sends the rest."""
    names = names or Names()
    every = [t for topic in VALUES for t in VALUES[topic]]
    _, definitions = _components(tuple(every), "#/components/schemas/{name}")
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for topic, types in VALUES.items():
        spec = TOPICS[topic]
        for t in types:
            messages[t.__name__] = _message(topic, t)
        channels[topic] = {
            "address": names.full(topic),
            "title": topic,
            "description": _first_line(types[0]),
            "messages": {t.__name__: {"$ref": f"#/components/messages/{t.__name__}"} for t in types},
            "bindings": {"kafka": _binding(spec.partitions, spec.config, names.full(topic))},
        }
        for action in ("receive", "send") if topic == "facts" else ("receive",) if spec.input else ("send",):
            operations[f"{action}-{topic}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{topic}"},
                "messages": [{"$ref": f"#/channels/{topic}/messages/{t.__name__}"} for t in types],
            }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "kroute",
            "version": kroute.__version__,
            "description": "Turns symptoms on a shared Kafka into single incidents with a named cause and three routed owners.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": _draft_7(definitions)},
    }


def _components(types: tuple[type[Any], ...], template: str) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    refs, made = msgspec.json.schema_components(types, ref_template=template)
    found = msgspec.json.decode(msgspec.json.encode(made))  # as it is printed: defaults are lists, not tuples
    definitions: dict[str, Any] = {name: found[name] for name in sorted(found)}
    for name, schema in definitions.items():
        version = schema.get("properties", {}).get("v")
        if version is not None:
            version["maximum"] = codec.VERSION  # a higher one is a dead letter
        if name in ("ConsumerLag", "ConnectorStatus"):
            schema.update(_STATE_UNLESS_DOWN)
    return refs, definitions


def _message(topic: str, type_: type[Any]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": type_.__name__,
        "title": topic,
        "summary": _first_line(type_),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{type_.__name__}"},
    }
    if topic in KEYS:
        message["bindings"] = {"kafka": {"key": {"type": "string", "description": KEYS[topic]}, "bindingVersion": "0.5.0"}}
    if type_ is alerts.RoutedAlert:
        message["headers"] = {
            "type": "object",
            "required": list(CLOUDEVENTS),
            "properties": {name: {"type": "string"} for name in CLOUDEVENTS},
        }
    return message


def _draft_7(value: Any) -> Any:
    """AsyncAPI's own schema dialect is that of draft 7, which writes the places of a tuple as ``items``."""
    if isinstance(value, dict):
        out = {k: _draft_7(v) for k, v in value.items()}
        if "prefixItems" in out:
            out["items"] = out.pop("prefixItems")
        return out
    return [_draft_7(v) for v in value] if isinstance(value, list) else value


def _binding(partitions: int, config: Mapping[str, str], address: str) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if "cleanup.policy" in config:
        known["cleanup.policy"] = config["cleanup.policy"].split(",")
    if "retention.ms" in config:
        known["retention.ms"] = int(config["retention.ms"])
    if "max.message.bytes" in config:
        known["max.message.bytes"] = int(config["max.message.bytes"])
    binding: dict[str, Any] = {"topic": address, "topicConfiguration": known, "bindingVersion": "0.5.0"}
    if partitions:
        binding["partitions"] = partitions
    return binding


def _first_line(type_: type[Any]) -> str:
    return (type_.__doc__ or "").strip().split("\n", 1)[0].replace("``", "")
