"""The plugin's end of the stream, without one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import grpc
import pytest

from rrhost import handle
from rrhost.errors import Fault
from rrhost.handler import Outcome
from rrhost.proto import handler_pb2 as pb
from rrhost.stream import MAX_FRAME_ITEMS, Session, fill


@pytest.mark.parametrize(
    ("sizes", "want"),
    [
        ([10], 1),
        ([10, 20, 30], 3),
        ([1_000_000, 10], 1),  # a large one alone
        ([10, 1_000_000], 1),  # before a large one
        ([200_000, 50_000, 50_000], 2),
        ([0] * 300, MAX_FRAME_ITEMS),
    ],
)
def test_frames_hold_what_fits(sizes: list[int], want: int) -> None:
    results = [(n, Outcome(b"x" * size, None, 5)) for n, size in enumerate(sizes)]
    frame = pb.ResultFrame()
    assert fill(frame, results, 0) == want
    assert [len(r.payload) for r in frame.results] == sizes[:want]
    rest = pb.ResultFrame()
    if want < len(sizes):
        assert fill(rest, results, want) > want
        assert rest.results[0].number == want


def test_errors_count() -> None:
    fault = Fault("handler_error", "c", "m" * 200_000)
    results = [(n, Outcome(b"", fault, 5)) for n in range(3)]
    frame = pb.ResultFrame()
    assert fill(frame, results, 0) == 1
    assert frame.results[0].error.message == fault.message


class FakeCall:
    """The host's end of a stream, in this process."""

    def __init__(self) -> None:
        self.to_plugin: asyncio.Queue[Any] = asyncio.Queue()
        self.frames: list[pb.ResultFrame] = []
        self.begun: asyncio.Queue[None] = asyncio.Queue()  # an item for each "wait" that runs
        self.ended: asyncio.Queue[None] = asyncio.Queue()

    async def read(self) -> Any:
        frame = await self.to_plugin.get()
        if isinstance(frame, Exception):
            raise frame
        return frame

    async def write(self, frame: pb.ResultFrame) -> None:
        self.frames.append(frame)
        await asyncio.sleep(0)

    def send(self, name: str, numbers: Iterable[int], cancels: Iterable[int] = ()) -> None:
        requests = [pb.Request(number=n, handler=name, payload=b"1", timeout_us=60_000_000) for n in numbers]
        self.to_plugin.put_nowait(pb.RequestFrame(requests=requests, cancels=cancels))

    def statuses(self) -> dict[int, str]:
        return {r.number: r.error.status for frame in self.frames for r in frame.results}


async def answer(_: Any) -> int:
    await asyncio.sleep(0)
    return 1


def in_session(test: Callable[[FakeCall, Session, asyncio.Task[None]], Awaitable[None]]) -> None:
    async def body() -> None:
        call = FakeCall()

        async def wait(_: Any) -> None:
            call.begun.put_nowait(None)
            try:
                await asyncio.sleep(60)
            finally:
                call.ended.put_nowait(None)

        handlers = {h.name: h for h in (handle("wait", wait), handle("answer", answer))}
        with ThreadPoolExecutor(1) as pool:
            session = Session(handlers, pool, 0)
            running = asyncio.create_task(session.run(cast(Any, call)))
            await asyncio.wait_for(test(call, session, running), 30)

    asyncio.run(body())


def test_what_finishes_together_leaves_together() -> None:
    async def test(call: FakeCall, session: Session, running: asyncio.Task[None]) -> None:
        call.send("answer", range(1, 101))
        call.to_plugin.put_nowait(grpc.aio.EOF)
        await running
        assert len(call.statuses()) == 100
        assert len(call.frames) == 1

    in_session(test)


def test_cancelled_in_the_frame_that_brings_it() -> None:
    async def test(call: FakeCall, session: Session, running: asyncio.Task[None]) -> None:
        call.send("wait", [1], cancels=[1, 99])
        call.to_plugin.put_nowait(grpc.aio.EOF)
        await running
        assert call.statuses() == {1: "deadline_exceeded"}

    in_session(test)


def test_goodbye_names_the_last_that_was_taken() -> None:
    async def test(call: FakeCall, session: Session, running: asyncio.Task[None]) -> None:
        call.send("wait", [7, 8])
        await call.begun.get()
        await call.begun.get()
        session.leave()
        session.leave()
        call.send("answer", [9])
        call.send("wait", [], cancels=[7, 8])  # what runs can still be cancelled
        await running
        assert [frame.goodbye.last for frame in call.frames if frame.HasField("goodbye")] == [8]
        assert call.statuses() == {7: "deadline_exceeded", 8: "deadline_exceeded"}
        assert session.done.is_set()

    in_session(test)


def test_a_stream_that_breaks_cancels_what_runs() -> None:
    async def test(call: FakeCall, session: Session, running: asyncio.Task[None]) -> None:
        call.send("wait", [1])
        await call.begun.get()
        call.to_plugin.put_nowait(OSError("broken"))
        with pytest.raises(OSError, match="broken"):
            await running
        assert call.ended.qsize() == 1

    in_session(test)


def test_a_host_that_hangs_up_cancels_what_runs() -> None:
    async def test(call: FakeCall, session: Session, running: asyncio.Task[None]) -> None:
        call.send("wait", [1, 2])
        await call.begun.get()
        await call.begun.get()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await call.ended.get()
        await call.ended.get()

    in_session(test)
