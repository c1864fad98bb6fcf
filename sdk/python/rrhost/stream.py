"""The plugin's end of the one stream that carries all requests and results.

One task reads frames and starts their requests, each in a task of its own; one
writes. The writer takes all results that are there, so what finishes in one turn
of the event loop leaves in one frame, and nothing waits for company.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Executor
from typing import Any

import grpc

from rrhost.context import Context
from rrhost.errors import no_handler
from rrhost.handler import Handler, Outcome, Run
from rrhost.proto import handler_pb2 as pb

# Bounds of a frame. What is larger than all of it goes alone.
MAX_FRAME_ITEMS = 256
MAX_FRAME_BYTES = 256 << 10
ITEM_OVERHEAD = 64  # what a result costs in a frame beside its texts

LONGEST_US = 365 * 24 * 3600 * 1_000_000  # a request's time is bounded, so that none overflows

_log = logging.getLogger("rrhost.stream")


class Session:
    """One Handle call, for as long as the host uses it."""

    def __init__(self, handlers: dict[str, Handler], pool: Executor, max_reply: int) -> None:
        self._handlers = handlers
        self._pool = pool
        self._max_reply = max_reply
        self._loop = asyncio.get_running_loop()
        self._running: dict[int, Run] = {}
        self._results: list[tuple[int, Outcome]] = []
        self._last = 0  # the newest request that was taken
        self._leaving = False
        self._bye = False  # a goodbye is to go out
        self._finished = False  # all results are queued
        self._wake = asyncio.Event()  # the writer has work
        self._left = asyncio.Event()
        self._idle = asyncio.Event()  # nothing runs
        self._idle.set()
        self.done = asyncio.Event()  # run has returned

    async def run(self, call: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Runs the stream's requests until the host closes it or :meth:`leave` was
        called, and returns when all handlers have. It is cancelled where the
        connection ends: nobody waits then, so the handlers are too."""
        reader = self._loop.create_task(self._read(call))
        writer = self._loop.create_task(self._write(call))
        left = self._loop.create_task(self._left.wait())
        try:
            first, _ = await asyncio.wait([reader, left, writer], return_when=asyncio.FIRST_COMPLETED)
            if writer in first or (reader in first and reader.exception() is not None):
                self._abort()  # the connection is gone
            await self._idle.wait()
            self._finished = True
            self._wake.set()
            if reader in first:
                await reader  # why it ended
            await writer
        except asyncio.CancelledError:
            self._abort()
            raise
        finally:
            for task in (reader, writer, left):
                task.cancel()
            ended = await asyncio.gather(reader, writer, left, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception):
                    _log.debug("the stream has ended", extra={"error": type(error).__name__})
            self.done.set()

    def leave(self) -> None:
        """Says goodbye: what runs is finished, and no more is taken."""
        if not self._leaving:
            self._leaving = self._bye = True
            self._left.set()
            self._wake.set()

    def _abort(self) -> None:
        """For a host that is gone: nobody waits for the results."""
        self._leaving = True
        for run in list(self._running.values()):
            run.cancel()

    async def _read(self, call: grpc.aio.ServicerContext[Any, Any]) -> None:
        while True:
            frame = await call.read()
            if frame is grpc.aio.EOF:
                return
            self._take(frame)

    def _take(self, frame: pb.RequestFrame) -> None:
        """Starts the requests of a frame, in one go: so leave knows exactly which
        were taken."""
        if not self._leaving:
            now = time.monotonic()
            for request in frame.requests:
                self._start(request, now)
        for number in frame.cancels:
            run = self._running.get(number)
            if run is not None:
                run.cancel()

    def _start(self, request: pb.Request, now: float) -> None:
        number, name = request.number, request.handler
        self._last = max(self._last, number)
        handler = self._handlers.get(name)
        if handler is None:
            self._queue(number, Outcome(b"", no_handler(name, list(self._handlers)), 0))
            return
        ctx = Context(
            request_id=request.request_id,
            topic=request.topic,
            handler=name,
            attempt=request.attempt,
            redelivered=request.redelivered,
            deadline=now + min(request.timeout_us, LONGEST_US) / 1e6,
            traceparent=request.traceparent,
            tracestate=request.tracestate,
        )
        run = Run(handler, ctx, self._pool)
        self._running[number] = run
        self._idle.clear()
        run.task = self._loop.create_task(self._handle(number, run, request.payload))

    async def _handle(self, number: int, run: Run, payload: bytes) -> None:
        timer = self._loop.call_at(run.ctx.deadline, run.cancel)
        outcome = await run.run(payload, self._max_reply)
        timer.cancel()
        del self._running[number]
        self._queue(number, outcome)
        if not self._running:
            self._idle.set()

    def _queue(self, number: int, outcome: Outcome) -> None:
        self._results.append((number, outcome))
        self._wake.set()

    async def _write(self, call: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Sends the results that wait, until all handlers have returned and none
        is left."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            finished = self._finished  # then this is the last look
            results, self._results = self._results, []
            at = 0
            while at < len(results) or self._bye:
                frame = pb.ResultFrame()
                if self._bye:
                    frame.goodbye.last = self._last
                    self._bye = False
                at = fill(frame, results, at)
                await call.write(frame)
            if finished:
                return


def fill(frame: pb.ResultFrame, results: list[tuple[int, Outcome]], at: int) -> int:
    """Puts as many results into a frame as it takes, from ``at`` on, at least one;
    returns where the rest begins."""
    size = 0
    add = frame.results.add
    for n in range(at, len(results)):
        number, outcome = results[n]
        fault = outcome.fault
        size += len(outcome.payload) + ITEM_OVERHEAD
        if fault is not None:
            size += len(fault.message) + len(fault.details) + len(fault.code)
        if n - at == MAX_FRAME_ITEMS or (n > at and size > MAX_FRAME_BYTES):
            return n
        if fault is None:
            add(number=number, payload=outcome.payload, duration_us=outcome.microseconds)
        else:
            result = add(number=number, duration_us=outcome.microseconds)
            result.error.status = fault.status
            result.error.code = fault.code
            result.error.message = fault.message
            result.error.details = fault.details
    return len(results)
