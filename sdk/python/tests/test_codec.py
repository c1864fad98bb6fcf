"""JSON by annotation: what fits, what is said of what does not, and the schemas."""

from __future__ import annotations

import enum
import json
import random
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Optional, TypedDict

import pytest

from rrhost.annotation import shape_of
from rrhost.codec import decode, encode
from rrhost.errors import PayloadError, ResultError
from rrhost.handler import schema_text


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(TypedDict):
    x: float
    y: float


class Loose(TypedDict, total=False):
    x: int


@dataclass
class Line:
    price: float
    text: str = ""


@dataclass
class Order:
    id: int
    lines: list[Line] = field(default_factory=list)
    note: Optional[str] = None  # noqa: UP045 (old spelling, same meaning)
    color: Color = Color.RED
    kind: Literal["a", "b", 3] = "a"
    at: tuple[int, int] = (0, 0)
    tags: dict[str, int] = field(default_factory=dict)
    class_: str = field(default="", metadata={"json": "class"})


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)


@dataclass
class Positive:
    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"{self.n} is a secret")


@pytest.mark.parametrize(
    ("tp", "payload", "want"),
    [
        (Any, "[1,2.5,null]", [1, 2.5, None]),
        (object, '{"a":1}', {"a": 1}),
        (int, "3", 3),
        (int, "3.0", 3),
        (int, "12345678901234567890123", 12345678901234567890123),
        (float, "3", 3.0),
        (int | float, "3", 3),
        (int | float, "3.5", 3.5),
        (str, '"\\u00e9\\ud83d\\ude00"', "é😀"),
        (bool, "true", True),
        (None, "null", None),
        (dict, '{"a":[]}', {"a": []}),
        (list, "[1]", [1]),
        (list[int], "[]", []),
        (tuple[int, ...], "[1,2]", (1, 2)),
        (tuple[int, str], '[1,"a"]', (1, "a")),
        (dict[str, float], '{"a":1}', {"a": 1.0}),
        (Point, '{"x":1,"y":2,"z":3}', {"x": 1.0, "y": 2.0}),
        (Loose, "{}", {}),
        (Order, '{"id":1}', Order(1)),
        (
            Order,
            '{"id":1,"lines":[{"price":2,"more":0}],"note":"n","color":"blue","kind":3,"at":[1,2],"tags":{"a":1},"class":"c"}',
            Order(1, [Line(2.0)], "n", Color.BLUE, 3, (1, 2), {"a": 1}, "c"),
        ),
        (Order, '{"id":1,"note":null}', Order(1)),
        (Line | None, "null", None),
        (Line | Positive, '{"n":1}', Positive(1)),
        (Annotated[int, "described"], "1", 1),
        (Tree, '{"name":"a","children":[{"name":"b"}]}', Tree("a", [Tree("b")])),
    ],
)
def test_what_fits(tp: Any, payload: str, want: Any) -> None:
    got = decode(payload.encode(), shape_of(tp))
    assert got == want
    assert type(got) is type(want)


@pytest.mark.parametrize(
    ("tp", "payload", "want"),
    [
        (Any, "", "the payload is empty; JSON is wanted"),
        (Any, " \n", "the payload is empty; JSON is wanted"),
        (Any, '{"é":x}', "the payload is not JSON (at byte 6)"),
        (Any, "NaN", "a number in the payload cannot be read"),
        (Any, "1" * 5000, "a number in the payload cannot be read"),
        (Any, b'"\xff"', "the payload is not JSON (no UTF-8 at byte 1)"),
        (Any, "[" * 100_000, "the payload is nested too deeply"),
        (int, "true", "the payload is a JSON boolean, and a whole number is wanted"),
        (int, "3.5", "the payload is a JSON number, and a whole number is wanted"),
        (int, '"3"', "the payload is a JSON string, and a whole number is wanted"),
        (float, "1e999", "the payload is a JSON number, and a number that fits float is wanted"),
        (float, "1" * 400, "the payload is a JSON number, and a number that fits float is wanted"),
        (int | float, '"x"', "the payload is a JSON string, and a number that fits float is wanted"),
        (bool, "1", "the payload is a JSON number, and a boolean is wanted"),
        (Order, "null", "the payload is a JSON null, and an object is wanted"),
        (Order, "[1]", "the payload is a JSON array, and an object is wanted"),
        (Order, "{}", 'field "id" is missing'),
        (Order, '{"id":"secret"}', 'field "id" is a JSON string, and a whole number is wanted'),
        (Order, '{"id":1,"note":5}', 'field "note" is a JSON number, and a string or null is wanted'),
        (Order, '{"id":1,"lines":[{"price":1},{"price":"x"}]}', 'field "lines[1].price" is a JSON string'),
        (Order, '{"id":1,"lines":{}}', 'field "lines" is a JSON object, and an array is wanted'),
        (Order, '{"id":1,"color":"secret"}', 'field "color" is not one of the values that are allowed'),
        (Order, '{"id":1,"kind":[]}', 'field "kind" is a JSON array, and one of its values is wanted'),
        (Literal[1], "true", "the payload is a JSON boolean, and one of its values is wanted"),
        (Order, '{"id":1,"at":[1]}', 'field "at" is an array of 1, and an array of 2 is wanted'),
        (Order, '{"id":1,"tags":{"secret":"x"}}', 'field "tags[…]" is a JSON string, and a whole number is wanted'),
        (Order, '{"id":1,"class":2}', 'field "class" is a JSON number'),
        (Line | None, '{"price":"x"}', 'field "price" is a JSON string'),
        (Positive, '{"n":0}', "the payload is not what Positive takes"),
        (list[Positive], '[{"n":0}]', 'field "[0]" is not what Positive takes'),
        (Tree, '{"name":"a","children":[{"name":1}]}', 'field "children[0].name" is a JSON number'),
    ],
)
def test_what_does_not_fit(tp: Any, payload: str | bytes, want: str) -> None:
    data = payload if isinstance(payload, bytes) else payload.encode()
    with pytest.raises(PayloadError) as caught:
        decode(data, shape_of(tp))
    assert want in str(caught.value)
    assert "secret" not in str(caught.value)


def test_strict_refuses_unknown_keys() -> None:
    assert decode(b'{"price":1,"more":2}', shape_of(Line)) == Line(1.0)
    with pytest.raises(PayloadError, match='field "more" is not known'):
        decode(b'{"price":1,"more":2}', shape_of(Line), strict=True, what="the settings")
    with pytest.raises(PayloadError, match="the settings are a JSON array"):
        decode(b"[]", shape_of(Line), strict=True, what="the settings")


@pytest.mark.parametrize(
    ("tp", "want"),
    [
        (Any, b""),
        (int, {"type": "integer"}),
        (int | float, {"type": ["integer", "number"]}),
        (str | None, {"type": ["null", "string"]}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (dict[str, Any], {"type": "object"}),
        (Color, {"enum": ["red", "blue"]}),
        (Tree, b""),
        (
            Line | None,
            {
                "type": ["null", "object"],
                "properties": {"price": {"type": "number"}, "text": {"type": "string"}},
                "required": ["price"],
            },
        ),
        (
            Line | list[int],
            {
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {"price": {"type": "number"}, "text": {"type": "string"}},
                        "required": ["price"],
                    },
                    {"type": "array", "items": {"type": "integer"}},
                ]
            },
        ),
        (Loose, {"type": "object", "properties": {"x": {"type": "integer"}}}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
    ],
)
def test_schemas(tp: Any, want: Any) -> None:
    text = schema_text(shape_of(tp))
    assert (json.loads(text) if text else text) == want


@dataclass
class Point3:
    at: tuple[int, float]
    name: str
    up: bool
    tags: list[str]
    more: dict[str, Any]
    line: Line
    note: str | None
    any: Any
    point: Point
    number: int | float
    size: int = 7


@dataclass
class Painted:
    color: Color
    name: str


@dataclass
class Wrapped:
    painted: Painted
    n: int


@dataclass
class Endless:
    rest: Endless
    n: int


@dataclass
class Circle:
    radius: float


@dataclass
class Square:
    side: float


@dataclass
class Drawing:
    form: Circle | Square


def test_a_missing_field_of_a_request_is_its_zero_value() -> None:
    shape = shape_of(Point3, zeros=True)
    zero = Point3((0, 0.0), "", False, [], {}, Line(0.0), None, None, {"x": 0.0, "y": 0.0}, 0, 7)
    got = decode(b"{}", shape)
    assert got == zero
    got.more["a"] = 1  # of one request alone
    got.tags.append("a")
    assert decode(b"{}", shape) == zero
    assert decode(b'{"line":{},"name":"n"}', shape).line == Line(0.0)
    assert "required" not in schema_text(shape).decode()
    assert decode(b"{}", shape_of(Point, zeros=True)) == {"x": 0.0, "y": 0.0}
    assert decode(b"{}", shape_of(Loose, zeros=True)) == {}
    with pytest.raises(PayloadError, match='field "name" is a JSON null'):
        decode(b'{"name":null}', shape)


@pytest.mark.parametrize(
    ("tp", "payload", "missing", "required"),
    [
        (Painted, "{}", "color", ["color"]),
        (Wrapped, "{}", "painted", ["painted"]),
        (Wrapped, '{"painted":{}}', "painted.color", ["painted"]),
        (Drawing, "{}", "form", ["form"]),
        (Drawing, '{"form":{}}', "form.radius", ["form"]),
        (Endless, "{}", "rest", None),
    ],
)
def test_what_has_no_zero_value_must_be_there(
    tp: Any, payload: str, missing: str | None, required: list[str] | None
) -> None:
    shape = shape_of(tp, zeros=True)
    with pytest.raises(PayloadError, match=f'field "{missing}" is missing'):
        decode(payload.encode(), shape)
    text = schema_text(shape)
    assert (json.loads(text).get("required") if text else None) == required


def test_the_fields_of_a_union_of_objects_tell_them_apart() -> None:
    shape = shape_of(Drawing, zeros=True)
    assert decode(b'{"form":{"side":1}}', shape) == Drawing(Square(1.0))


def test_schema_of_settings_is_closed_and_described() -> None:
    @dataclass
    class Settings:
        wait: Annotated[int, "in ms"] = 0

    # A local class: its annotations are text that its module cannot resolve, but
    # for what the module has.
    assert json.loads(schema_text(shape_of(Settings), strict=True)) == {
        "type": "object",
        "properties": {"wait": {"type": "integer", "description": "in ms"}},
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("tp", "want"),
    [
        (bytes, "handle_raw"),
        (set[int], "no JSON form"),
        (dict[int, str], "no JSON form"),
        (complex, "complex has no JSON form"),
        (list[complex], "complex has no JSON form"),
    ],
)
def test_types_without_a_json_form(tp: Any, want: str) -> None:
    with pytest.raises(TypeError, match=want):
        shape_of(tp)


def test_a_field_without_a_json_form_is_named() -> None:
    @dataclass
    class Bad:
        when: complex

    with pytest.raises(TypeError, match=r"Bad\.when: complex has no JSON form"):
        shape_of(Bad)


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ({"a": 1}, b'{"a":1}'),
        (Order(1, [Line(2.5)], class_="c"), None),
        (Color.BLUE, b'"blue"'),
        ("é", '"é"'.encode()),
        ("\ud800", b'"\\ud800"'),
        ((1, 2), b"[1,2]"),
        (None, b"null"),
    ],
)
def test_encode(value: Any, want: bytes | None) -> None:
    text = encode(value)
    if want is None:
        assert decode(text, shape_of(type(value)), strict=True) == value
    else:
        assert text == want


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), {(1, 2): 3}, b"x"])
def test_what_cannot_be_encoded(value: Any) -> None:
    with pytest.raises(ResultError, match="the result has no JSON form: "):
        encode(value)


def test_endless_results_cannot_be_encoded() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ResultError):
        encode(endless)


def test_decoding_anything_raises_payload_errors_only() -> None:
    """Whatever the bytes: a value that encodes again, or a PayloadError."""
    seeds = [
        b'{"id":1,"lines":[{"price":2,"more":0}],"note":"n","color":"blue","kind":3,"at":[1,2],"tags":{"a":1}}',
        b'[1,2.5,-3e10,null,true,"\\u00e9\\ud83d\\ude00 \\ud800"]',
        '"é😀"'.encode(),
    ]
    shapes = [shape_of(tp) for tp in (Any, Order, list[float], dict[str, Any], Tree, int | str | None)]
    rng = random.Random(1)
    taken = refused = 0
    for _ in range(20_000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(data))
            if rng.random() < 0.5:
                data[at] = rng.randrange(256)
            else:
                del data[at : at + rng.randrange(1, 8)]
            if not data:
                break
        try:
            value = decode(bytes(data), rng.choice(shapes))
        except PayloadError:
            refused += 1
        else:
            taken += 1
            try:
                encode(value)
            except ResultError as error:
                assert "Out of range float" in str(error)  # 1e999 as Any
    assert taken > 500
    assert refused > 500
