"""JSON by annotation: what fits a Python type, how it is decoded, and its schema.

An annotation is read once, into a tree of shapes. Decoding raises
:class:`Misfit`, which names the place and the kinds, and never a value.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any, Protocol


class Misfit(Exception):
    """A value that is not what a shape takes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []  # outermost last, while it is being raised

    def where(self) -> str:
        """The field's path, such as ``items[3].price``; empty for the whole."""
        text = ""
        for part in reversed(self.path):
            text += part if part.startswith("[") or not text else "." + part
        return text


class NoZero(Exception):
    """A shape has no zero value: none of its values is more empty than the others."""


class Shape(Protocol):
    """What JSON a type takes."""

    @property
    def kind(self) -> str:
        """For messages, such as "a string"."""

    @property
    def json(self) -> tuple[type[Any], ...]:
        """The classes that json.loads makes of it."""

    def decode(self, value: Any, strict: bool) -> Any:
        """Makes a Python value of decoded JSON. With ``strict``, a key that is
        not the type's is a misfit; without, it is left out."""

    def schema(self, strict: bool) -> dict[str, Any]:
        """The JSON Schema of what ``decode`` takes."""

    def zero(self) -> Any:
        """The JSON that a missing field stands for: 0, "", [], ….

        Raises:
            NoZero: There is none.
        """


def wrong(value: Any, wanted: str) -> Misfit:
    """A misfit of kinds."""
    return Misfit(f"is a JSON {json_kind(value)}, and {wanted} is wanted")


def json_kind(value: Any) -> str:
    """Names the JSON that json.loads made value of."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


class Anything:
    """Any JSON, as json.loads makes it."""

    kind = "any JSON"
    json = (object,)

    def decode(self, value: Any, strict: bool) -> Any:
        return value

    def schema(self, strict: bool) -> dict[str, Any]:
        return {}

    def zero(self) -> Any:
        return None


class Scalar:
    """A boolean, a string or null."""

    def __init__(self, cls: type, kind: str, name: str) -> None:
        self.json = (cls,)
        self.kind = kind
        self._cls = cls
        self._name = name

    def decode(self, value: Any, strict: bool) -> Any:
        if isinstance(value, self._cls):
            return value
        raise wrong(value, self.kind)

    def schema(self, strict: bool) -> dict[str, Any]:
        return {"type": self._name}

    def zero(self) -> Any:
        return self._cls()  # also NoneType is called like that


class Integer:
    """A whole number, however it is written: 3 and 3.0 are the same JSON."""

    kind = "a whole number"
    json = (int, float)

    def decode(self, value: Any, strict: bool) -> Any:
        cls = type(value)
        if cls is int:
            return value
        if cls is float and value.is_integer():
            return int(value)
        raise wrong(value, self.kind)

    def schema(self, strict: bool) -> dict[str, Any]:
        return {"type": "integer"}

    def zero(self) -> Any:
        return 0


class Number:
    """A number that fits a float."""

    kind = "a number that fits float"
    json = (int, float)

    def decode(self, value: Any, strict: bool) -> Any:
        cls = type(value)
        if cls is int:
            try:
                return float(value)
            except OverflowError:
                raise wrong(value, self.kind) from None
        if cls is float and math.isfinite(value):
            return value
        raise wrong(value, self.kind)

    def schema(self, strict: bool) -> dict[str, Any]:
        return {"type": "number"}

    def zero(self) -> Any:
        return 0


class Array:
    """A list, or a tuple of any length, of one shape."""

    kind = "an array"
    json = (list,)

    def __init__(self, item: Shape, make: Callable[[list[Any]], Any] | None = None) -> None:
        self.item = item
        self._make = make

    def decode(self, value: Any, strict: bool) -> Any:
        if not isinstance(value, list):
            raise wrong(value, self.kind)
        decode, out = self.item.decode, []
        try:
            for v in value:
                out.append(decode(v, strict))
        except Misfit as misfit:
            misfit.path.append(f"[{len(out)}]")
            raise
        return self._make(out) if self._make else out

    def schema(self, strict: bool) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(strict)}

    def zero(self) -> Any:
        return []


class Tuple:
    """A tuple of a fixed length."""

    json = (list,)

    def __init__(self, items: list[Shape]) -> None:
        self.items = items
        self.kind = f"an array of {len(items)}"

    def decode(self, value: Any, strict: bool) -> Any:
        if not isinstance(value, list):
            raise wrong(value, self.kind)
        if len(value) != len(self.items):
            raise Misfit(f"is an array of {len(value)}, and {self.kind} is wanted")
        out: list[Any] = []
        try:
            for shape, v in zip(self.items, value, strict=True):
                out.append(shape.decode(v, strict))
        except Misfit as misfit:
            misfit.path.append(f"[{len(out)}]")
            raise
        return tuple(out)

    def schema(self, strict: bool) -> dict[str, Any]:
        n = len(self.items)
        items = [shape.schema(strict) for shape in self.items]
        return {"type": "array", "prefixItems": items, "minItems": n, "maxItems": n}

    def zero(self) -> Any:
        return [shape.zero() for shape in self.items]


class Map:
    """An object of any keys."""

    kind = "an object"
    json = (dict,)

    def __init__(self, item: Shape) -> None:
        self.item = item

    def decode(self, value: Any, strict: bool) -> Any:
        if not isinstance(value, dict):
            raise wrong(value, self.kind)
        if isinstance(self.item, Anything):
            return value
        out: dict[str, Any] = {}
        for key, v in value.items():
            try:
                out[key] = self.item.decode(v, strict)
            except Misfit as misfit:
                misfit.path.append("[…]")  # a map's keys are the requester's, and no fields
                raise
        return out

    def schema(self, strict: bool) -> dict[str, Any]:
        item = self.item.schema(strict)
        return {"type": "object", "additionalProperties": item} if item else {"type": "object"}

    def zero(self) -> Any:
        return {}


class Choice:
    """One of some values: Literal, or an Enum."""

    def __init__(self, values: dict[tuple[type, Any], Any]) -> None:
        self._values = values  # by class too: True == 1, and they are not the same JSON
        self.json = tuple({cls for cls, _ in values})
        self.kind = "one of its values"

    def decode(self, value: Any, strict: bool) -> Any:
        cls = type(value)
        if cls is list or cls is dict or (cls, value) not in self._values:
            if cls in self.json:
                raise Misfit("is not one of the values that are allowed")
            raise wrong(value, self.kind)
        return self._values[cls, value]

    def schema(self, strict: bool) -> dict[str, Any]:
        return {"enum": [value for _, value in self._values]}

    def zero(self) -> Any:
        raise NoZero


class Union:
    """The first of several shapes that fits."""

    def __init__(self, options: list[Shape]) -> None:
        self.options = options
        self.json = tuple({cls for option in options for cls in option.json})
        kinds = [option.kind for option in options]
        if Number.kind in kinds:  # which whole numbers are too
            kinds = [kind for kind in kinds if kind != Integer.kind]
        self.kind = " or ".join(kinds)

    def decode(self, value: Any, strict: bool) -> Any:
        near: Misfit | None = None
        for option in self.options:
            try:
                return option.decode(value, strict)
            except Misfit as misfit:
                # The one of the right kind tells more than "neither of them".
                if isinstance(value, option.json) and (near is None or len(misfit.path) > len(near.path)):
                    near = misfit
        raise near if near is not None and near.path else wrong(value, self.kind)

    def schema(self, strict: bool) -> dict[str, Any]:
        schemas = [option.schema(strict) for option in self.options]
        if {} in schemas:
            return {}
        null = {"type": "null"}
        others = [s for s in schemas if s != null]
        if len(others) == 1 and isinstance(others[0].get("type"), str) and len(schemas) == 2:
            return {**others[0], "type": ["null", others[0]["type"]]}
        if all(s.keys() == {"type"} for s in schemas):
            return {"type": [s["type"] for s in schemas]}
        return {"anyOf": schemas}

    def zero(self) -> Any:
        """null if that is one of them, else the first zero that there is."""
        if type(None) in self.json:
            return None
        for option in self.options:
            with contextlib.suppress(NoZero):
                return option.zero()
        raise NoZero
