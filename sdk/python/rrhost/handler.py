"""One request through a handler: decode, call, catch, encode."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, overload

from rrhost.annotation import hints_of, shape_of
from rrhost.codec import decode, encode
from rrhost.context import Context, current, request_fields
from rrhost.errors import Fault, ResultError, fault_of, too_large
from rrhost.shape import Anything, Shape

MAX_NAME = 128  # bytes

_log = logging.getLogger("rrhost.handler")

In = TypeVar("In")
Out = TypeVar("Out")

RawFunction: TypeAlias = (
    Callable[[bytes, Context], bytes | Awaitable[bytes]] | Callable[[bytes], bytes | Awaitable[bytes]]
)

Schema: TypeAlias = Mapping[str, Any] | None


@dataclass(slots=True, frozen=True)
class Handler:
    """A named function for :func:`rrhost.serve`: what ``handle`` or ``handle_raw`` made."""

    name: str
    fn: Callable[..., Any]
    arity: int  # 1: the payload; 2: and the context
    threaded: bool  # a synchronous function
    shape: Shape | None  # of the request; None for bytes
    request_schema: bytes  # JSON Schema; empty if unknown
    response_schema: bytes
    checks_payload: bool  # decoding refuses what does not fit request_schema


@dataclass(slots=True)
class Outcome:
    """What came of a request: a payload, or a fault."""

    payload: bytes
    fault: Fault | None
    microseconds: int


class Run:
    """One request's way through a handler, which can be cancelled."""

    __slots__ = ("_begun", "_future", "_handler", "_pool", "ctx", "task")

    def __init__(self, handler: Handler, ctx: Context, pool: Executor) -> None:
        self.ctx = ctx
        self._handler = handler
        self._pool = pool
        self._begun = False  # run has: a task that is cancelled before never does
        self.task: asyncio.Task[Any] | None = None  # that run is in, set by who made it
        self._future: Future[bytes | Fault] | None = None  # of a synchronous function

    def cancel(self) -> None:
        """Ends the context. The outcome comes all the same."""
        if self.ctx.cancelled:
            return
        self.ctx.end()
        if self._future is not None:
            self._future.cancel()  # that has not begun; a thread that runs cannot be stopped
        elif self._begun and self.task is not None:
            self.task.cancel()

    async def run(self, payload: bytes, max_reply: int) -> Outcome:
        """Runs the handler in ``task``. It raises nothing: what goes wrong is the
        outcome's fault. A response above ``max_reply`` bytes is one; 0 means
        no bound."""
        ctx, begin, self._begun = self.ctx, time.monotonic(), True
        token = current.set(ctx)
        out: bytes | Fault
        try:
            if ctx.cancelled:
                raise asyncio.CancelledError
            if self._handler.threaded:
                # The thread sees the request's context variables.
                self._future = self._pool.submit(contextvars.copy_context().run, self._in_thread, payload, max_reply)
                out = await asyncio.wrap_future(self._future)
            else:
                out = _encoded(self._handler, await self._called(payload), max_reply)
        except BaseException as error:  # also SystemExit: a handler does not end its neighbours
            out = self._fault(error, max_reply)
        finally:
            current.reset(token)
        took = int((time.monotonic() - begin) * 1e6)
        if isinstance(out, bytes):
            return Outcome(out, None, took)
        if out.stack:
            _log.error("handler panicked", extra={**request_fields(ctx), "stack": out.stack})
        return Outcome(b"", out, took)

    def _in_thread(self, payload: bytes, max_reply: int) -> bytes | Fault:
        """The function and what is around it, in a thread. What is raised becomes
        a result here: not every exception can pass through a future."""
        try:
            return _encoded(self._handler, self._called(payload), max_reply)
        except BaseException as error:
            return self._fault(error, max_reply)

    def _called(self, payload: bytes) -> Any:
        """Calls the function: its result, or the awaitable of an async one."""
        handler = self._handler
        value = payload if handler.shape is None else decode(payload, handler.shape)
        return handler.fn(value, self.ctx) if handler.arity == 2 else handler.fn(value)

    def _fault(self, error: BaseException, max_reply: int) -> Fault:
        # A handler may keep to the deadline itself, and a little before the loop.
        ended = self.ctx.cancelled or time.monotonic() >= self.ctx.deadline
        return fault_of(error, ended, max_reply)


def _encoded(handler: Handler, out: Any, max_reply: int) -> bytes | Fault:
    if handler.shape is not None:
        text = encode(out)
    elif isinstance(out, bytes):
        text = out
    else:
        raise ResultError(f"a raw handler returns bytes, and not {type(out).__qualname__}")
    if max_reply and len(text) > max_reply:
        return too_large(len(text), max_reply)
    return text


@overload
def handle(
    name: str,
    fn: Callable[[In, Context], Awaitable[Out]],
    *,
    request_schema: Schema = None,
    response_schema: Schema = None,
) -> Handler: ...
@overload
def handle(
    name: str, fn: Callable[[In], Awaitable[Out]], *, request_schema: Schema = None, response_schema: Schema = None
) -> Handler: ...
@overload
def handle(
    name: str, fn: Callable[[In, Context], Out], *, request_schema: Schema = None, response_schema: Schema = None
) -> Handler: ...
@overload
def handle(
    name: str, fn: Callable[[In], Out], *, request_schema: Schema = None, response_schema: Schema = None
) -> Handler: ...
def handle(
    name: str, fn: Callable[..., Any], *, request_schema: Schema = None, response_schema: Schema = None
) -> Handler:
    """Makes a handler from a function over Python values.

    The first parameter's annotation says what the request's JSON is decoded into:
    a dataclass, a TypedDict, a list, a dict with str keys, Literal, Enum, str, int,
    float, bool, None, a union of these, or Any, which is also what no annotation
    means. A request that does not fit is answered for the handler, naming the
    field. Keys that the type lacks are ignored. A missing field has its default, or
    else its type's zero value (``0``, ``""``, ``False``, ``[]``, ``{}``; None where
    the type allows it); it must be there if neither exists, as of a Literal or an
    Enum, or if it tells one of several objects in a union from another. What the
    function returns is encoded as JSON.

    The second parameter, which may be left out, gets the :class:`Context`.

    An ``async`` function runs in the event loop: its task is cancelled at the
    deadline. Any other runs in a thread of a bounded pool.

    Args:
        name: 1 to 128 bytes, without white space.
        fn: The function.
        request_schema: A JSON Schema of the author's own, in place of the type's:
            the host holds requests against it before the function sees them.
        response_schema: Likewise of what is returned, for people: it is not
            checked.

    Raises:
        ValueError: The name is empty, too long or has white space.
        TypeError: The function cannot be called so, or a type has no JSON form.
    """
    arity = _arity(name, fn)
    hints = hints_of(fn)
    first = next(iter(inspect.signature(fn).parameters))
    try:
        shape = shape_of(hints.get(first, Any), zeros=True)
        response: Shape = shape_of(hints["return"]) if "return" in hints else Anything()
    except TypeError as error:
        raise TypeError(f"handler {name!r}: {error}") from None
    return Handler(
        name,
        fn,
        arity,
        not _is_async(fn),
        shape,
        schema_text(shape) if request_schema is None else encode(request_schema),
        schema_text(response) if response_schema is None else encode(response_schema),
        request_schema is None,
    )


def handle_raw(name: str, fn: RawFunction, *, request_schema: Schema = None, response_schema: Schema = None) -> Handler:
    """Makes a handler from a function over the payload's bytes.

    That the request is JSON is not checked, unless there is a schema, and that the
    response is, is the author's promise. All else is as with :func:`handle`, which
    says what it raises.
    """
    request, response = (b"" if schema is None else encode(schema) for schema in (request_schema, response_schema))
    return Handler(name, fn, _arity(name, fn), not _is_async(fn), None, request, response, checks_payload=False)


def schema_text(shape: Shape, strict: bool = False) -> bytes:
    """The JSON Schema of a shape; empty where it says nothing, or the type holds
    itself: a schema is a help to people, and no condition of service."""
    try:
        schema = shape.schema(strict)
    except RecursionError:
        return b""
    return json.dumps(schema, separators=(",", ":")).encode() if schema else b""


def _arity(name: str, fn: Callable[..., Any]) -> int:
    check_name(name)
    if not callable(fn):
        raise TypeError(f"handler {name!r}: {fn!r} is not a function")
    if inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
        raise TypeError(f"handler {name!r}: its function yields, and a handler returns its response")
    try:
        signature = inspect.signature(fn)
    except ValueError:  # some that are built in have none
        raise TypeError(f"handler {name!r}: the parameters of {fn!r} are unknown; wrap it in a function") from None
    for arity in (2, 1):
        try:
            signature.bind(*range(arity))
        except TypeError:
            continue
        return arity
    raise TypeError(f"handler {name!r}: its function takes {signature}, and (input, ctx) or (input) is wanted")


def _is_async(fn: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)


def check_name(name: str) -> None:
    """Says what is wrong with a handler's name, as a ValueError."""
    size = len(name.encode("utf-8", "replace"))
    if not 1 <= size <= MAX_NAME:
        raise ValueError(f"a handler's name has 1 to {MAX_NAME} bytes, not {size}")
    if any(c.isspace() or not c.isprintable() or c == "\ufffd" for c in name):
        raise ValueError(f"a handler's name has no white space or control characters: {name!r}")
