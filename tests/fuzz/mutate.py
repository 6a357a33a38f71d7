"""Bends valid documents: their trees, their texts, their bytes. Everything hangs on the generator that is handed in."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

Path = tuple[Any, ...]
RAW = "\ue000raw:"
"""A text that begins so stands for JSON source, to be written without quotes: what no encoder would write."""
NUMBERS = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e308", "-1e308", "5e-324", "-0.0", "0", "-1", "1", "1.5", "0.1e1", "100001",
    "2147483648", "-2147483649", "9007199254740993", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
    "18446744073709551616", "253402300800000", "1" + "0" * 40, "1" + "0" * 4500, "0x10", "01", "1_000", ".5", "1e-9999",
)  # fmt: skip
TEXTS = (
    "", " ", "*", "**", "a*", "\\*", "?", "[", "/", "a/b", "a/b/c", "|", "%", "%7C", ".", "..", "-", "~", "null", "true", "{}", "{root}",
    "\x00", "\x01", "\n", "\r\n", "\t", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\y\x1b]8;;\x1b\\", "\x9b31m", "\x7f",
    "\u202e\u2066abc", "\u200b", "\u2028", "\ufeff", "\U0001f4a9", "e\u0301" * 50, "[bold red]x[/]", "[link=http://x]y[/link]",
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&lt;", "]]>", "-->", "<!channel>", "<@U123>", "@here", "`x`", "*b*", "|x|y|",
    "[x](javascript:alert(1))", '"} or vector(1) #', '{a="b"}', "{{ $value }}", "${HOME}", "$(id)", "`id`", "'; drop table x; --", "\\", '"', "'",
    "a" * 300, "é" * 1100, "x" * 5000, "1d", "-1s", "1e9d", "99999999999d", "0s", "1.5h", "P1D", "25:61", "2026-13-45", "9999-12-31T23:59:59Z",
    "0001-01-01", "2026-12-31T00:00:00+99:99", "Europe/Nowhere", "../../etc/passwd", "1x99999999", "0+1x9999999999", "_x5", "1-1x", "1e308+1e308x9",
)  # fmt: skip
STRUCTURES: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": {}}, [{}, {}], {"a": [1, "b", None]}, 0, "x", 3.5)
SURROGATES = ("\\ud800", "\\udfff\\ud800", "\\u0000", "\\ud83d\\ude00")


def places(value: Any, at: Path = (), depth: int = 40) -> Iterator[Path]:
    """Paths of all values inside a value."""
    yield at
    if depth:
        for k, v in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
            yield from places(v, (*at, k), depth - 1)


def inside(value: Any, at: Path) -> Any:
    """The value at a path."""
    for k in at:
        value = value[k]
    return value


def nested(rng: random.Random, depth: int) -> Any:
    """A value inside so many lists or mappings."""
    value: Any = 1
    mapping = rng.random() < 0.5
    for _ in range(depth):
        value = {"a": value} if mapping else [value]
    return value


def replacement(rng: random.Random, old: Any) -> Any:
    """Something to stand where ``old`` stood: of its kind or of none."""
    dice = rng.random()
    if isinstance(old, bool) and dice < 0.5:
        return not old
    if isinstance(old, int | float) and dice < 0.6:
        if dice < 0.25:
            return rng.choice([old + 1, old - 1, -old, old * 2, old * 1000, old + 0.5, 0, int(old) ^ (1 << rng.randrange(60))])
        return RAW + rng.choice(NUMBERS)
    if isinstance(old, str) and dice < 0.6:
        if dice < 0.15:
            at = rng.randrange(len(old) + 1)
            return old[:at] + rng.choice(TEXTS) + old[at:]
        return rng.choice(TEXTS)
    if dice < 0.75:
        return copy.deepcopy(rng.choice(STRUCTURES))
    if dice < 0.85:
        return rng.choice(TEXTS)
    if dice < 0.97:
        return RAW + rng.choice(NUMBERS)
    return nested(rng, rng.choice([5, 15, 17, 40, 200]))


def bent(rng: random.Random, value: Any, words: Sequence[Any]) -> Any:
    """One change somewhere in a tree. ``words``: values of other documents, to be put where they do not belong."""
    at = rng.choice(list(places(value)))
    if not at:
        return copy.deepcopy(rng.choice(words)) if rng.random() < 0.5 and words else replacement(rng, value)
    out = copy.deepcopy(value)
    holder = inside(out, at[:-1])
    key, dice = at[-1], rng.random()
    old = holder[key]
    if dice < 0.12:
        del holder[key]
    elif dice < 0.2 and isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(old))
    elif dice < 0.23 and isinstance(holder, list):
        holder.extend(copy.deepcopy(old) for _ in range(rng.choice([3, 60, 600])))
    elif dice < 0.3 and isinstance(holder, dict):
        holder[rng.choice(TEXTS)] = holder.pop(key)
    elif dice < 0.36 and isinstance(holder, dict):
        holder[rng.choice([*TEXTS, "v", "id", "kind", "up", "parts"])] = replacement(rng, old)
    elif dice < 0.46 and words:
        holder[key] = copy.deepcopy(rng.choice(words))
    elif dice < 0.52:
        other = rng.choice(list(places(value)))
        holder[key] = copy.deepcopy(inside(value, other))
    else:
        holder[key] = replacement(rng, old)
    return out


def as_json(rng: random.Random, value: Any) -> bytes:
    """JSON source; rarely with what JSON does not have: NaN, lone surrogates, a key twice."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, default=str)
    while (at := text.find('"\\ue000raw:')) >= 0 or (at := text.find('"' + RAW)) >= 0:
        end = text.index('"', at + 1)
        text = text[:at] + text[text.index(":", at) + 1 : end] + text[end + 1 :]
    dice = rng.random()
    if dice < 0.04 and '"' in text:
        at = text.rindex('"')
        text = text[:at] + rng.choice(SURROGATES) + text[at:]
    elif dice < 0.06 and text.startswith("{"):
        text = "{" + text[1:-1] + "," + text[1:] if len(text) > 2 else text
    return text.encode("utf-8", "surrogatepass")


BOMB = (
    "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n"
)
YAML_BITS = (
    BOMB, "x: !!python/object/apply:os.system ['true']\n", "x: !!binary AAAA\n", "x: !!set {a, b}\n", "x: !!timestamp 9999-99-99\n", "x: 2026-02-30\n",
    "x: 0001-01-01T00:00:00+23:59\n", "<<: {a: 1}\n", "? [1, 2]\n: 3\n", "? {a: b}\n: c\n", "--- a\n--- b\n", "%YAML 9.9\n---\nx: 1\n", "x: *none\n",
    "x: &y [*y]\n", "x: 190:20:30\n", "x: 0b1\n", "x: 0o7\n", "x: .nan\n", "x: -.inf\n", "x: ~\n", "~: 1\n", "true: 1\n", "1: 2\n", "1.5: x\n", "2026-01-01: x\n",
    "x: |\n  \x07\n", 'x: "\\x1b[31m"\n', 'x: "\\ud800"\n', "x: " + "[" * 300 + "]" * 300 + "\n", "x: " + "{a: " * 80 + "1" + "}" * 80 + "\n",
    "x: " + "9" * 5000 + "\n", "\t- x\n", "x: 1e400\n", "- &a b\n- *a\n", "x: !!float nan\n", "x: !!int ''\n", "x: !<tag:yaml.org,2002:str> 1\n", "\ufeffx: 1\n",
    "x: 0x" + "f" * 400 + "\n", "x: 0b" + "1" * 3000 + "\n", "x: 1:" + "59:" * 300 + "1\n", "x: 1_" + "0_" * 3000 + "0\n", "x: !!int 'x'\n", "x: =\n", "=: 1\n",
)  # fmt: skip


def as_yaml(rng: random.Random, value: Any) -> bytes:
    """YAML source of a tree, now and then as JSON (which YAML reads too)."""
    if rng.random() < 0.3:
        return as_json(rng, value)
    value = _plain(value)
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        allow_unicode=rng.random() < 0.5,
        default_flow_style=rng.choice([None, True, False]),
        sort_keys=False,
    )
    return text.encode("utf-8", "surrogatepass")


class _Dumper(yaml.SafeDumper):
    """Writes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, str) and value.startswith(RAW):
        try:
            return float(value[len(RAW) :]) if len(value) % 2 else int(value[len(RAW) :])
        except ValueError:
            return value[len(RAW) :]
    return value


def torn(rng: random.Random, data: bytes, bits: Sequence[bytes]) -> bytes:
    """Bytes cut, doubled, swapped, flipped, spliced."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.choice([1, 1, 2, 8, 60, 500]))
        dice = rng.random()
        if dice < 0.2:
            data = data[:at] + data[to:]
        elif dice < 0.35:
            data = data[:to] + data[at:to] * rng.choice([1, 2, 50]) + data[to:]
        elif dice < 0.5 and data:
            i = rng.randrange(len(data))
            data = data[:i] + bytes([data[i] ^ (1 << rng.randrange(8))]) + data[i + 1 :]
        elif dice < 0.6:
            data = data[:at] + rng.randbytes(rng.randrange(6)) + data[at:]
        elif dice < 0.65:
            data = data[:at]
        elif dice < 0.7:
            data = data[:at] + rng.choice([b"[", b"{", b'{"a":', b"(", b"- ", b"&a "]) * rng.choice([3, 100, 2000]) + data[at:]
        else:
            data = data[:at] + rng.choice(bits) + data[to if rng.random() < 0.5 else at :]
    return data[: 1 << 20]
