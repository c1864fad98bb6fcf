"""Handlers and plugins in a test.

Without a process, in three lines::

    from rrhost import testing
    assert testing.call(handle("calculate", calculate), {"a": 10, "b": 5}) == {"result": 15}

With one, started and spoken to as the host does, without Kafka::

    with testing.Plugin("main.py") as plugin:
        assert plugin.call("calculate", {"a": 10, "b": 5}) == {"result": 15}
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc

from rrhost import process
from rrhost.codec import encode
from rrhost.context import Context
from rrhost.errors import Fault
from rrhost.handler import Handler, Outcome, Run
from rrhost.proto import goplugin_pb2 as gp
from rrhost.proto import handler_pb2 as pb

DEFAULT_TIMEOUT = 30.0  # seconds, of a request
MAX_REPLY = 1_000_000  # bytes, as the host has it by default

_BASE_ENV = ("PATH", "HOME", "TMPDIR", "LANG", "TZ", "PYTHONPATH")


class PluginError(Exception):
    """Why a request has no response, as the host would answer it.

    Attributes:
        status: Such as ``"handler_error"`` or ``"invalid_payload"``.
        code: The author's own.
        message: For people.
        details: Decoded; None if there are none.
    """

    def __init__(self, status: str, code: str, message: str, details: bytes = b"") -> None:
        super().__init__(f"{status}: {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = json.loads(details) if details else None


class Crashed(Exception):
    """There is no result: the plugin is gone, or did not take the request."""


def call(handler: Handler, request: Any, ctx: Context | None = None) -> Any:
    """Runs one request through a handler in this process, from JSON to JSON.

    Raises:
        PluginError: The handler refused or failed.
    """
    return json.loads(do(handler, encode(request), ctx))


def do(handler: Handler, payload: bytes, ctx: Context | None = None) -> bytes:
    """Like :func:`call`, with bytes."""

    async def run() -> Outcome:
        with ThreadPoolExecutor(1) as pool:
            one = Run(
                handler, ctx or Context(request_id=str(uuid.uuid4()), topic=handler.name, handler=handler.name), pool
            )
            one.task = asyncio.current_task()
            return await one.run(payload, MAX_REPLY)

    outcome = asyncio.run(run())
    if outcome.fault is not None:
        raise _error(outcome.fault)
    return outcome.payload


def _error(fault: Fault) -> PluginError:
    return PluginError(fault.status, fault.code, fault.message, fault.details)


class Plugin:
    """A plugin's process, and the host's end of its stream.

    Args:
        path: The script, or its folder, where it is called main.py.
        settings: Its section of the configuration.
        command: Starts it, in the folder, in place of this Python.
        env: Variables beside PATH, HOME, TMPDIR, LANG, TZ and PYTHONPATH.
        token: What the host would give as RRHOST_TOKEN; empty: none.
        max_message: The largest gRPC message, in bytes.

    Raises:
        PluginError: It refuses its settings; the status is ``"refused"``.
        Crashed: It ends before it is ready; the text has what it said.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: dict[str, Any] | None = None,
        command: list[str] | None = None,
        env: dict[str, str] | None = None,
        token: str = "",
        max_message: int = MAX_REPLY + (1 << 20),
    ) -> None:
        path = os.path.abspath(path)
        if os.path.isdir(path):
            path = os.path.join(path, "main.py")
        self._sockets = tempfile.mkdtemp(prefix="rrtest-")
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._pending: dict[int, Future[bytes]] = {}
        self._number = 0
        self._frames: queue.SimpleQueue[pb.RequestFrame | None] = queue.SimpleQueue()
        self.last: int | None = None  # of the plugin's goodbye
        self.ended = grpc.StatusCode.OK  # how the stream did
        variables = {k: os.environ[k] for k in _BASE_ENV if k in os.environ}
        variables |= {
            process.COOKIE_ENV: process.COOKIE,
            "PLUGIN_PROTOCOL_VERSIONS": "1",
            process.SOCKET_DIR_ENV: self._sockets,
            process.MAX_MESSAGE_ENV: str(max_message),
        }
        if token:
            variables[process.TOKEN_ENV] = token
        self.popen = subprocess.Popen(
            command or [sys.executable, "-B", path],
            cwd=os.path.dirname(path),
            env=variables | (env or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._metadata: tuple[tuple[str, str], ...] = (("rrhost-token", token),) if token else ()
        self._threads = [threading.Thread(target=self._log, daemon=True)]
        self._threads[0].start()
        self.channel: grpc.Channel | None = None
        try:
            self._introduce(settings or {}, max_message)
        except BaseException:
            self.close()
            raise

    def _introduce(self, settings: dict[str, Any], max_message: int) -> None:
        assert self.popen.stdout is not None
        self.handshake = self.popen.stdout.readline().decode()
        if not self.handshake:
            code = self.popen.wait()
            self._threads[0].join()
            raise Crashed(f"it exited with code {code} before its handshake\n" + "\n".join(self.logs()))
        fields = self.handshake.rstrip("\n").split("|")
        if len(fields) != 6:
            raise Crashed(f"it printed {self.handshake!r}, and the handshake has six fields")
        address = fields[3]
        limits = [("grpc.max_receive_message_length", max_message), ("grpc.max_send_message_length", max_message)]
        self.channel = grpc.insecure_channel(f"unix:{address}", options=limits)
        self.description = self.unary("Describe", pb.DescribeRequest(), pb.DescribeResponse)
        configure = pb.ConfigureRequest(settings=encode(settings), max_reply=MAX_REPLY)
        try:
            self.unary("Configure", configure, pb.ConfigureResponse)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                raise PluginError("refused", "refused", error.details() or "") from None
            raise
        stream = self.channel.stream_stream(
            "/rrhost.plugin.v1.Handler/Handle", pb.RequestFrame.SerializeToString, pb.ResultFrame.FromString
        )
        self.stream = stream(iter(self._frames.get, None), metadata=self._metadata)
        self._threads.append(threading.Thread(target=self._read, daemon=True))
        self._threads[-1].start()

    def unary(self, method: str, request: Any, response: Any, service: str = "rrhost.plugin.v1.Handler") -> Any:
        """One call beside the stream, such as Describe."""
        assert self.channel is not None
        fn = self.channel.unary_unary(f"/{service}/{method}", type(request).SerializeToString, response.FromString)
        return fn(request, timeout=DEFAULT_TIMEOUT, metadata=self._metadata)

    def __enter__(self) -> Plugin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, handler: str, request: Any, timeout: float = DEFAULT_TIMEOUT) -> Any:
        """Sends a request and decodes its response; timeout is in seconds.

        Raises:
            PluginError: The handler refused or failed.
            Crashed: The plugin is gone.
        """
        return json.loads(self.do(handler, encode(request), timeout))

    def do(self, handler: str, payload: bytes, timeout: float = DEFAULT_TIMEOUT) -> bytes:
        """Like :meth:`call`, with bytes."""
        _, result = self.start(handler, payload, timeout)
        return result.result(timeout + DEFAULT_TIMEOUT)

    def start(
        self, handler: str, payload: bytes, timeout: float = DEFAULT_TIMEOUT, **info: Any
    ) -> tuple[int, Future[bytes]]:
        """Sends a request and returns its number, for :meth:`cancel`, and its
        result to come. ``info`` is fields of the protocol's Request."""
        [(number, result)] = self.start_all([(handler, payload)], timeout, **info)
        return number, result

    def start_all(
        self, requests: list[tuple[str, bytes]], timeout: float = DEFAULT_TIMEOUT, **info: Any
    ) -> list[tuple[int, Future[bytes]]]:
        """Sends requests in one frame."""
        frame = pb.RequestFrame()
        started: list[tuple[int, Future[bytes]]] = []
        with self._changed:
            for handler, payload in requests:
                self._number += 1
                fields = {"request_id": str(uuid.uuid4()), "topic": handler, "attempt": 1, **info}
                frame.requests.add(
                    number=self._number, handler=handler, payload=payload, timeout_us=int(timeout * 1e6), **fields
                )
                result: Future[bytes] = Future()
                self._pending[self._number] = result
                started.append((self._number, result))
        self._frames.put(frame)
        return started

    def cancel(self, *numbers: int) -> None:
        """Tells the plugin that nobody waits for these any more."""
        self._frames.put(pb.RequestFrame(cancels=numbers))

    def half_close(self) -> None:
        """Says that there are no more requests."""
        self._frames.put(None)

    def terminate(self) -> None:
        """Sends SIGTERM: the plugin says goodbye, finishes and leaves."""
        self.popen.send_signal(signal.SIGTERM)

    def shutdown(self) -> None:
        """Asks the process to exit, as go-plugin does."""
        self.unary("Shutdown", gp.Empty(), gp.Empty, "plugin.GRPCController")

    def logs(self) -> list[str]:
        """The lines of its stderr so far."""
        with self._changed:
            return list(self._lines)

    def records(self) -> Iterator[dict[str, Any]]:
        """The lines of its log so far, decoded."""
        for line in self.logs():
            if line.startswith("{"):
                yield json.loads(line)

    def wait_for_log(self, text: str, timeout: float = DEFAULT_TIMEOUT) -> str:
        """Waits for a line of stderr that has text, and returns it.

        Raises:
            TimeoutError: There is none in time.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self._lines:
                    if text in line:
                        return line
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"no line with {text!r} in {timeout} s:\n" + "\n".join(self._lines))

    def close(self) -> None:
        """Ends the process, politely and then not, and waits for it."""
        if self.popen.poll() is None and self.channel is not None:
            try:
                self.half_close()
                self.shutdown()
                self.popen.wait(3)
            except (grpc.RpcError, subprocess.TimeoutExpired):
                pass  # it is killed
        self.popen.kill()
        self.popen.wait()
        self.half_close()
        for thread in self._threads:
            thread.join()
        if self.channel is not None:
            self.channel.close()
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _log(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            with self._changed:
                self._lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()

    def _read(self) -> None:
        """Hands out results until the stream ends."""
        try:
            for frame in self.stream:
                if frame.HasField("goodbye"):
                    self.last = frame.goodbye.last
                for result in frame.results:
                    with self._changed:
                        future = self._pending.pop(result.number, None)
                    if future is None:
                        continue
                    if result.HasField("error"):
                        e = result.error
                        future.set_exception(PluginError(e.status, e.code, e.message, e.details))
                    else:
                        future.set_result(result.payload)
        except grpc.RpcError as error:
            self.ended = error.code()
        with self._changed:
            left, self._pending = self._pending, {}
        for future in left.values():
            future.set_exception(Crashed("the stream ended without a result"))
