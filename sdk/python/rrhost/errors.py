"""Why a request has no response, and whose fault that is."""

from __future__ import annotations

import builtins
import json
import os
import traceback
from asyncio import CancelledError
from asyncio import TimeoutError as AsyncioTimeoutError
from concurrent import futures
from dataclasses import dataclass
from typing import Any

HANDLER_ERROR = "handler_error"
INVALID_PAYLOAD = "invalid_payload"
DEADLINE_EXCEEDED = "deadline_exceeded"
NO_HANDLER = "no_handler"
REPLY_TOO_LARGE = "reply_too_large"

# Bounds of what an author's error may carry, in bytes. What is longer is cut: the
# requester is better served with most of a message than with none.
MAX_CODE = 128
MAX_MESSAGE = 8 << 10

# This package's folder.
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep

# What a handler raises because it was told to stop. In Python 3.10 these are
# different classes, later mostly one.
_ENDED = (CancelledError, futures.CancelledError, TimeoutError, AsyncioTimeoutError, futures.TimeoutError)

# BaseExceptionGroup, which Python 3.10 lacks.
_GROUPS: Any = getattr(builtins, "BaseExceptionGroup", ())


class HandlerError(Exception):
    """An error with a code that programs can tell apart.

    The requester gets ``code``, ``message`` and ``details``; no log does.

    Args:
        code: For programs, such as ``"no_such_account"``; at most 128 bytes.
            Empty means ``"error"``.
        message: For people; at most 8 KiB.
        details: Anything with a JSON form; ``None`` for none.
    """

    def __init__(self, code: str, message: str = "", details: Any = None) -> None:
        super().__init__(code, message, details)
        self.code = code
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.code else self.message


class PayloadError(Exception):
    """Why a payload was not taken. Its text names fields, never their values."""


class ResultError(Exception):
    """A result without a JSON form."""


@dataclass(slots=True)
class Fault:
    """What is answered in place of a response."""

    status: str
    code: str
    message: str
    details: bytes = b""
    stack: str = ""  # of an unexpected exception: for the log, not for the requester


def fault_of(error: BaseException, ended: bool, max_reply: int) -> Fault:
    """Decides whose fault an exception is.

    Args:
        error: What decoding, the handler or encoding raised.
        ended: The request was over by then: cancelled, or past its deadline.
        max_reply: Bounds an author's error, in bytes; 0 for no bound.
    """
    while isinstance(error, _GROUPS) and len(error.exceptions) == 1:
        error = error.exceptions[0]  # a TaskGroup's, with one that failed
    if isinstance(error, PayloadError):
        return Fault(INVALID_PAYLOAD, INVALID_PAYLOAD, cut(str(error), MAX_MESSAGE))
    if ended and isinstance(error, _ENDED):
        return Fault(DEADLINE_EXCEEDED, DEADLINE_EXCEEDED, "the deadline passed while the handler ran")
    if isinstance(error, ResultError):
        return Fault(HANDLER_ERROR, "invalid_result", cut(str(error), MAX_MESSAGE))
    if isinstance(error, HandlerError):
        return _authors(error, max_reply)
    # Neither the exception's text nor its notes: both may quote the payload.
    return Fault(HANDLER_ERROR, "panic", "the handler panicked", stack=stack_of(error))


def _authors(error: HandlerError, max_reply: int) -> Fault:
    fault = Fault(HANDLER_ERROR, cut(str(error.code), MAX_CODE) or "error", cut(str(error.message), MAX_MESSAGE))
    if error.details is None:
        return fault
    # Imported here: codec reports with this module's errors.
    from rrhost.codec import encode

    try:
        details = encode(error.details)
    except ResultError:
        details = json.dumps("the details have no JSON form").encode()
    size = len(details) + len(fault.message.encode()) + len(fault.code.encode())
    if max_reply and size > max_reply:
        return too_large(size, max_reply)
    fault.details = details
    return fault


def too_large(size: int, limit: int) -> Fault:
    """The answer for a reply of ``size`` bytes where ``limit`` are allowed."""
    return Fault(REPLY_TOO_LARGE, REPLY_TOO_LARGE, f"the reply has {size} bytes, and {limit} are allowed")


def no_handler(name: str, have: list[str]) -> Fault:
    """The answer to a request for a handler that does not exist."""
    quoted = json.dumps(cut(name, MAX_CODE))
    return Fault(NO_HANDLER, NO_HANDLER, f"no handler {quoted}; there is: {', '.join(have)}")


def stack_of(error: BaseException) -> str:
    """The types and lines of an exception, of what is in it and of what caused it,
    without texts."""
    parts: list[str] = []
    seen: set[int] = set()
    now: BaseException | None = error
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        tb = now.__traceback__
        while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_HERE):
            tb = tb.tb_next  # the same for every request
        lines = "".join(traceback.format_tb(tb))
        parts.append(f"{lines}{type(now).__module__}.{type(now).__qualname__}")
        if isinstance(now, _GROUPS):
            for n, inner in enumerate(now.exceptions, 1):
                parts[-1] += f"\n\nnumber {n} of the group:\n\n{stack_of(inner)}"
        now = now.__cause__ or (None if now.__suppress_context__ else now.__context__)
    return "\n\nbecause of:\n\n".join(parts)


def cut(text: str, limit: int) -> str:
    """Shortens text to ``limit`` bytes of UTF-8, at a character's start."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    return data[:limit].decode("utf-8", "ignore")
