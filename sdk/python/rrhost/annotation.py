"""From a Python annotation to its shape."""

from __future__ import annotations

import collections.abc
import copy
import dataclasses
import enum
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from rrhost.shape import (
    Anything,
    Array,
    Choice,
    Integer,
    Map,
    Misfit,
    NoZero,
    Number,
    Scalar,
    Shape,
    Tuple,
    Union,
    wrong,
)

_PRESENCE: tuple[Any, ...]  # what says in a TypedDict whether a key must be there

if sys.version_info >= (3, 11):
    from typing import NotRequired, Required

    _PRESENCE = (Required, NotRequired)
else:
    # There these two are typing_extensions' alone, which a plugin may have.
    try:
        from typing_extensions import NotRequired, Required

        _PRESENCE = (Required, NotRequired)
    except ImportError:
        _PRESENCE = ()

_SCALARS: dict[Any, Callable[[], Shape]] = {
    Any: Anything,
    object: Anything,
    typing.NoReturn: Anything,
    bool: lambda: Scalar(bool, "a boolean", "boolean"),
    int: Integer,
    float: Number,
    str: lambda: Scalar(str, "a string", "string"),
    None: lambda: Scalar(type(None), "null", "null"),
    type(None): lambda: Scalar(type(None), "null", "null"),
    dict: lambda: Map(Anything()),
    list: lambda: Array(Anything()),
    tuple: lambda: Array(Anything(), tuple),
}

_MAPS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_LISTS = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)


_NO_ZERO: Any = object()


@dataclasses.dataclass(slots=True)
class Field:
    """One key of an object."""

    key: str  # in JSON
    name: str  # of the parameter or key in Python
    shape: Shape
    required: bool
    description: str = ""
    zero: Any = _NO_ZERO  # in JSON: what a request that lacks the key means


class Record:
    """An object of known keys: a dataclass or a TypedDict."""

    kind = "an object"
    json = (dict,)

    def __init__(self, cls: Any, make: Callable[..., Any], zeros: bool) -> None:
        self.cls = cls
        self.zeros = zeros  # fields that are missing have their zero values
        self.fields: list[Field] = []  # filled in by the reader: a type may hold itself
        self._make = make
        self._in_schema = False
        self._in_zero = False

    def decode(self, value: Any, strict: bool) -> Any:
        if not isinstance(value, dict):
            raise wrong(value, self.kind)
        found: dict[str, Any] = {}
        for field in self.fields:
            key = field.key
            try:
                if key in value:
                    found[field.name] = field.shape.decode(value[key], strict)
                elif field.zero is not _NO_ZERO:
                    # A copy: the function may change what it is given.
                    found[field.name] = field.shape.decode(copy.deepcopy(field.zero), strict)
                elif field.required:
                    raise Misfit("is missing")
            except Misfit as misfit:
                misfit.path.append(key)
                raise
        if strict:
            for key in value:
                if all(field.key != key for field in self.fields):
                    unknown = Misfit("is not known")
                    unknown.path.append(key)
                    raise unknown
        try:
            return self._make(**found)
        except ValueError:
            # __post_init__ refused it. Its text may quote what it was given.
            raise Misfit(f"is not what {self.cls.__name__} takes") from None

    def schema(self, strict: bool) -> dict[str, Any]:
        if self._in_schema:
            raise RecursionError(f"{self.cls.__name__} holds itself")
        self._in_schema = True
        try:
            properties = {}
            for field in self.fields:
                schema = field.shape.schema(strict)
                if field.description:
                    schema = {**schema, "description": field.description}
                properties[field.key] = schema
        finally:
            self._in_schema = False
        out: dict[str, Any] = {"type": "object", "properties": properties}
        required = [field.key for field in self.fields if field.required]
        if required:
            out["required"] = required
        if strict:
            out["additionalProperties"] = False
        return out

    def zero(self) -> Any:
        """That of which all is missing, if nothing has to be there."""
        if self._in_zero:
            raise NoZero  # it holds itself, and would be endless
        self._in_zero = True
        try:
            for field in self.fields:
                if not field.required:
                    continue
                if not self.zeros:
                    raise NoZero
                field.shape.zero()
        finally:
            self._in_zero = False
        return {}

    def fill(self) -> None:
        """Gives the fields that must be there their zero values, where there are any."""
        if not self.zeros:
            return
        for field in self.fields:
            if field.required:
                try:
                    field.zero = field.shape.zero()
                except NoZero:
                    continue
        # Only now: zero looks at what is required.
        for field in self.fields:
            field.required = field.required and field.zero is _NO_ZERO


class _Reader:
    """Reads one annotation and all that it is made of."""

    def __init__(self, zeros: bool) -> None:
        self._zeros = zeros
        self._records: dict[Any, Record] = {}  # by class, and whether its fields get zeros

    def whole(self, tp: Any) -> Shape:
        shape = self.read(tp)
        for record in self._records.values():
            record.fill()
        return shape

    def read(self, tp: Any) -> Shape:
        if hasattr(tp, "__supertype__"):  # NewType
            return self.read(tp.__supertype__)
        if hasattr(tp, "__value__") and type(tp).__name__ == "TypeAliasType":  # type X = …
            return self.read(tp.__value__)
        simple = _SCALARS.get(tp) if isinstance(tp, collections.abc.Hashable) else None
        if simple is not None:
            return simple()
        origin, args = typing.get_origin(tp), typing.get_args(tp)
        if origin is typing.Annotated:
            return self.read(args[0])
        if origin is typing.Union or origin is types.UnionType:
            return Union(self._options(args))
        if origin is typing.Literal:
            return Choice({(type(v), v): v for v in args})
        if isinstance(tp, type) and issubclass(tp, enum.Enum):
            return Choice({(type(m.value), m.value): m for m in tp})
        if dataclasses.is_dataclass(tp) and isinstance(tp, type):
            return self._dataclass(tp)
        if isinstance(tp, type) and hasattr(tp, "__required_keys__"):
            return self._typeddict(tp)
        if origin in _MAPS and len(args) == 2 and args[0] is str:
            return Map(self.read(args[1]))
        if origin in _LISTS and len(args) == 1:
            return Array(self.read(args[0]))
        if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
            return Array(self.read(args[0]), tuple)
        if origin is tuple:
            return Tuple([self.read(arg) for arg in args])
        raise TypeError(_unusable(tp))

    def _options(self, args: tuple[Any, ...]) -> list[Shape]:
        options = [self.read(arg) for arg in args]
        nested = [cls for option in options for cls in set(option.json) & {dict, list}]
        if self._zeros and len(nested) > len(set(nested)):
            # What must be there tells them apart: the first would take all.
            self._zeros = False
            try:
                options = [self.read(arg) for arg in args]
            finally:
                self._zeros = True
        return options

    def _dataclass(self, cls: Any) -> Record:
        known = cls, self._zeros
        if known in self._records:
            return self._records[known]
        record = self._records[known] = Record(cls, cls, self._zeros)
        hints = _hints(cls)
        for f in dataclasses.fields(cls):
            if not f.init:
                continue
            required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            with _naming(cls, f.name):
                shape = self.read(hints[f.name])
            record.fields.append(Field(json_name(f), f.name, shape, required, _description(hints[f.name])))
        return record

    def _typeddict(self, cls: Any) -> Record:
        known = cls, self._zeros
        if known in self._records:
            return self._records[known]
        record = self._records[known] = Record(cls, dict, self._zeros)
        for name, hint in _hints(cls).items():
            required = name in cls.__required_keys__
            inner = hint
            while (origin := typing.get_origin(inner)) is typing.Annotated or origin in _PRESENCE:
                if origin is not typing.Annotated:
                    # An annotation that is text hides this from __required_keys__.
                    required = origin is _PRESENCE[0]
                inner = typing.get_args(inner)[0]
            with _naming(cls, name):
                shape = self.read(inner)
            record.fields.append(Field(name, name, shape, required, _description(hint)))
        return record


class _naming:
    """Adds the field to the error about its type."""

    def __init__(self, cls: type, name: str) -> None:
        self._where = f"{cls.__name__}.{name}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if isinstance(error, TypeError):
            raise TypeError(f"{self._where}: {error}") from None


def shape_of(tp: Any, *, zeros: bool = False) -> Shape:
    """Reads an annotation.

    Args:
        tp: The annotation.
        zeros: A field that must be there may be missing all the same where its
            type has a zero value, which it then has. Not in a union of several
            objects or arrays: there it tells one from another.

    Raises:
        TypeError: It has no JSON form that this package knows; the text says what
            can be used.
    """
    return _Reader(zeros).whole(tp)


def json_name(field: dataclasses.Field[Any]) -> str:
    """A dataclass field's key in JSON: ``metadata={"json": "key"}``, or its name."""
    return str(field.metadata.get("json", field.name))


def _hints(of: Any) -> dict[str, Any]:
    """The annotations, with those that are text resolved."""
    try:
        return typing.get_type_hints(of, include_extras=True)
    except NameError as error:
        name = getattr(of, "__qualname__", of)
        raise TypeError(f"{name}: an annotation names {error.name!r}, which its module does not have") from None


def hints_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """A function's annotations, also those of an object that is called like one."""
    target: Any = fn
    while hasattr(target, "func"):  # functools.partial
        target = target.func
    if not isinstance(target, (types.FunctionType, types.MethodType)):
        target = type(target).__call__
    return _hints(target)


def _description(tp: Any) -> str:
    """The text in Annotated[T, "text"]."""
    for extra in getattr(tp, "__metadata__", ()):
        if isinstance(extra, str):
            return extra
    return ""


def _unusable(tp: Any) -> str:
    name = getattr(tp, "__name__", None) or str(tp)
    if tp in (bytes, bytearray, memoryview):
        return f"{name} is no JSON; handle_raw gives a handler the payload's bytes"
    return (
        f"{name} has no JSON form; use dataclasses, TypedDict, Enum, Literal, str, int, float, bool, None, "
        "list, tuple, dict with str keys, unions of these, or Any"
    )
