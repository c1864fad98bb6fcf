"""One request through a handler, without a process."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from rrhost import Context, Handler, HandlerError, handle, handle_raw
from rrhost.handler import Outcome, Run
from rrhost.testing import PluginError, call, do


@dataclass
class Sum:
    a: float
    b: float


@dataclass
class Total:
    result: float


async def add(sum: Sum, ctx: Context) -> Total:
    return Total(sum.a + sum.b)


def add_in_thread(sum: Sum) -> Total:
    return Total(sum.a + sum.b)


class Adder:
    async def __call__(self, sum: Sum) -> Total:
        return Total(sum.a + sum.b)

    def add(self, sum: Sum, ctx: Context) -> Total:
        return Total(sum.a + sum.b)


@pytest.mark.parametrize(
    "fn",
    [
        add,
        add_in_thread,
        Adder(),
        Adder().add,
        functools.partial(add, ctx=Context()),
        lambda s: {"result": s["a"] + s["b"]},
    ],
)
def test_functions(fn: Any) -> None:
    handler = handle("add", fn)
    assert call(handler, {"a": 10, "b": 5.5}) == {"result": 15.5}


def test_schemas_are_inferred() -> None:
    handler = handle("add", add)
    assert json.loads(handler.request_schema) == {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
    }
    assert json.loads(handler.response_schema)["properties"] == {"result": {"type": "number"}}
    assert handle_raw("raw", lambda payload: payload).request_schema == b""


def fault(handler: Handler, payload: bytes) -> PluginError:
    with pytest.raises(PluginError) as caught:
        do(handler, payload)
    return caught.value


def raises(error: BaseException) -> Handler:
    def fn(_: Any) -> None:
        raise error

    return handle("raises", fn)


def raises_async(error: BaseException) -> Handler:
    async def fn(_: Any) -> None:
        raise error

    return handle("raises", fn)


@pytest.mark.parametrize("make", [raises, raises_async])
@pytest.mark.parametrize(
    "kind",
    [
        ValueError,
        KeyError,
        StopIteration,
        SystemExit,
        KeyboardInterrupt,
        TimeoutError,
        asyncio.CancelledError,
        MemoryError,
    ],
)
def test_unexpected_exceptions(make: Any, kind: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    got = fault(make(kind("secret")), b"{}")
    assert (got.status, got.code, got.message, got.details) == ("handler_error", "panic", "the handler panicked", None)
    [record] = caplog.records
    assert record.getMessage() == "handler panicked"
    stack = vars(record)["stack"]
    assert "secret" not in stack
    assert kind.__name__ in stack
    assert "in fn" in stack
    assert "handler.py" not in stack.replace("test_handler.py", "")


def test_stack_names_causes(caplog: pytest.LogCaptureFixture) -> None:
    def fn(_: Any) -> None:
        try:
            raise KeyError("secret")
        except KeyError as error:
            raise RuntimeError("secret") from error

    fault(handle("f", fn), b"1")
    stack = vars(caplog.records[0])["stack"]
    assert "builtins.RuntimeError\n\nbecause of:\n\n" in stack
    assert stack.endswith("builtins.KeyError")
    assert "secret" not in stack.replace('RuntimeError("secret")', "").replace('KeyError("secret")', "")


@pytest.mark.parametrize("make", [raises, raises_async])
def test_authors_errors(make: Any) -> None:
    got = fault(make(HandlerError("no_such_account", "there is none", {"id": 7})), b"{}")
    assert (got.status, got.code, got.message, got.details) == (
        "handler_error",
        "no_such_account",
        "there is none",
        {"id": 7},
    )
    assert fault(make(HandlerError("", "m")), b"1").code == "error"
    assert fault(make(HandlerError("c", "m", object())), b"1").details == "the details have no JSON form"
    long = fault(make(HandlerError("é" * 100, "é" * 10_000)), b"1")
    assert long.code == "é" * 64
    assert long.message == "é" * 4096
    assert fault(make(HandlerError("\ud800", "\ud800")), b"1").code == "?"
    big = fault(make(HandlerError("c", "m", "x" * 1_000_001)), b"1")
    assert big.status == "reply_too_large"
    assert str(HandlerError("c", "m")) == "c: m"
    assert str(HandlerError("", "m")) == "m"


TaskGroup: Any = getattr(asyncio, "TaskGroup", None)


@pytest.mark.skipif(TaskGroup is None, reason="asyncio.TaskGroup is newer than Python 3.10")
def test_task_groups(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse() -> None:
        raise HandlerError("refused", "in a task")

    async def fail() -> None:
        raise ValueError("secret")

    async def one(_: Any) -> None:
        async with TaskGroup() as group:
            group.create_task(refuse())

    async def two(_: Any) -> None:
        async with TaskGroup() as group:
            group.create_task(fail())
            group.create_task(refuse())

    assert fault(handle("one", one), b"1").code == "refused"
    assert fault(handle("two", two), b"1").code == "panic"
    stack = vars(caplog.records[0])["stack"]
    assert "number 1 of the group" in stack
    assert stack.endswith("rrhost.errors.HandlerError")
    assert "builtins.ValueError" in stack


def test_invalid_payloads() -> None:
    for fn in (add, add_in_thread):
        got = fault(handle("add", fn), b'{"a":"secret","b":1}')
        assert (got.status, got.code) == ("invalid_payload", "invalid_payload")
        assert got.message == 'field "a" is a JSON string, and a number that fits float is wanted'


def test_results() -> None:
    async def huge(n: int) -> str:
        return "x" * n

    assert len(do(handle("huge", huge), b"999998")) == 1_000_000
    got = fault(handle("huge", huge), b"999999")
    assert got.status == got.code == "reply_too_large"
    assert got.message == "the reply has 1000001 bytes, and 1000000 are allowed"
    got = fault(handle("nan", lambda _: float("nan")), b"1")
    assert (got.status, got.code) == ("handler_error", "invalid_result")
    got = fault(handle_raw("raw", lambda _: "text"), b"1")  # type: ignore[arg-type]
    assert got.message == "a raw handler returns bytes, and not str"
    assert do(handle_raw("raw", lambda payload: payload), b"\xff not JSON") == b"\xff not JSON"
    assert do(handle("nothing", lambda _: None), b"1") == b"null"


@pytest.mark.parametrize("name", ["", "a b", "a\n", "x" * 129, "\u200b", "\ufffd"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match="a handler's name has"):
        handle(name, add)


def test_functions_that_cannot_be() -> None:
    async def generator(_: Any) -> Any:
        yield 1

    async def unusable(_: complex) -> None: ...
    async def unusable_result(_: Any) -> complex:
        return 1j

    async def unresolved(_: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    for fn, want in [
        (lambda: None, r"takes \(\), and \(input, ctx\) or \(input\) is wanted"),
        (lambda a, b, c: None, "is wanted"),
        (generator, "its function yields"),
        (unusable, "handler 'f': complex has no JSON form"),
        (unusable_result, "handler 'f': complex has no JSON form"),
        (unresolved, "names 'Nowhere', which its module does not have"),
        (5, "is not a function"),
        (max, "are unknown; wrap it in a function"),
    ]:
        with pytest.raises(TypeError, match=want):
            handle("f", fn)  # type: ignore[call-overload]


def run(handler: Handler, seconds: float, **info: Any) -> tuple[Outcome, float]:
    """One request that is cancelled after some time, and how long it took."""

    async def one() -> Outcome:
        with ThreadPoolExecutor(1) as pool:
            it = Run(handler, Context(deadline=time.monotonic() + seconds, **info), pool)
            it.task = asyncio.create_task(it.run(b"null", 0))
            asyncio.get_running_loop().call_later(seconds, it.cancel)
            outcome: Outcome = await it.task
            return outcome

    begin = time.monotonic()
    return asyncio.run(one()), time.monotonic() - begin


def test_deadline_cancels_a_task() -> None:
    seen: list[bool] = []

    async def sleeper(_: None, ctx: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append(ctx.cancelled)

    outcome, took = run(handle("sleeper", sleeper), 0.05)
    assert outcome.fault is not None
    assert outcome.fault.status == "deadline_exceeded"
    assert seen == [True]
    assert took < 30


def test_a_handler_may_answer_all_the_same() -> None:
    async def stubborn(_: None) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done"
        return "late"

    outcome, _ = run(handle("stubborn", stubborn), 0.05)
    assert outcome.payload == b'"done"'


def test_a_thread_sees_its_end() -> None:
    def waiter(_: None, ctx: Context) -> str:
        assert not ctx.cancelled
        return "cancelled" if ctx.wait(60) and ctx.cancelled and ctx.remaining == 0 else "not"

    outcome, took = run(handle("waiter", waiter), 0.05)
    assert outcome.payload == b'"cancelled"'
    assert took < 30


def test_keeping_to_the_deadline() -> None:
    """A handler that minds the deadline itself may end before the loop cancels it."""

    async def careful(_: None) -> None:
        raise TimeoutError

    handler = handle("careful", careful)
    with pytest.raises(PluginError, match="deadline_exceeded"):
        do(handler, b"null", Context(deadline=time.monotonic()))
    with pytest.raises(PluginError, match="panic"):
        do(handler, b"null", Context(deadline=time.monotonic() + 60))


def test_cancelled_before_its_first_step() -> None:
    async def never(_: None) -> None:
        pytest.fail("it ran")

    async def one() -> Outcome:
        with ThreadPoolExecutor(1) as pool:
            it = Run(handle("never", never), Context(), pool)
            it.task = asyncio.create_task(it.run(b"null", 0))
            it.cancel()
            outcome: Outcome = await it.task
            return outcome

    outcome = asyncio.run(one())
    assert outcome.fault is not None
    assert outcome.fault.status == "deadline_exceeded"
