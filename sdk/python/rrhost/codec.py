"""A payload's bytes to Python values and back."""

from __future__ import annotations

import dataclasses
import enum
import json
from functools import lru_cache
from typing import Any, NoReturn

from rrhost.annotation import json_name
from rrhost.errors import PayloadError, ResultError
from rrhost.shape import Misfit, Shape


def decode(payload: bytes, shape: Shape, strict: bool = False, what: str = "the payload") -> Any:
    """Decodes JSON into what a shape describes.

    Args:
        payload: UTF-8.
        strict: A key that the shape lacks is an error; else it is left out.
        what: Names the payload in errors.

    Raises:
        PayloadError: It does not fit; names the field, quotes nothing.
    """
    if not payload.strip():
        raise PayloadError(f"{what} {_be(what)} empty; JSON is wanted")
    try:
        text = payload.decode("utf-8")
        value = _decoder.decode(text)
    except UnicodeDecodeError as error:
        raise PayloadError(f"{what} {_be(what)} not JSON (no UTF-8 at byte {error.start})") from None
    except json.JSONDecodeError as error:
        at = len(text[: error.pos].encode("utf-8"))
        raise PayloadError(f"{what} {_be(what)} not JSON (at byte {at})") from None
    except RecursionError:
        raise PayloadError(f"{what} {_be(what)} nested too deeply") from None
    except ValueError:  # a whole number of thousands of digits; NaN
        raise PayloadError(f"a number in {what} cannot be read") from None
    try:
        return shape.decode(value, strict)
    except Misfit as misfit:
        where = misfit.where()
        subject = f'field "{where}"' if where else what
        reason = misfit.reason if where else misfit.reason.replace("is ", _be(what) + " ", 1)
        raise PayloadError(f"{subject} {reason}") from None
    except RecursionError:
        raise PayloadError(f"{what} {_be(what)} nested too deeply") from None


def encode(value: Any) -> bytes:
    """Encodes a value as JSON: what json does, and dataclasses and Enums.

    Raises:
        ResultError: It has no JSON form: NaN, an endless structure, another class.
    """
    try:
        return _encoder.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        # Half of a surrogate pair, as JSON may hold it: it can be escaped only.
        return _ascii_encoder.encode(value).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultError(f"the result has no JSON form: {error}") from None


def _be(what: str) -> str:
    return "are" if what.endswith("s") else "is"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _plain(value: Any) -> Any:
    """What json cannot encode by itself."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: getattr(value, name) for name, key in _keys(type(value))}
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"{type(value).__qualname__} cannot be encoded")


@lru_cache(maxsize=1024)
def _keys(cls: Any) -> list[tuple[str, str]]:
    """A dataclass's fields: their names and their keys in JSON."""
    return [(f.name, json_name(f)) for f in dataclasses.fields(cls)]


_decoder = json.JSONDecoder(parse_constant=_no_constant)
_encoder = json.JSONEncoder(default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_ascii_encoder = json.JSONEncoder(default=_plain, allow_nan=False, separators=(",", ":"))
