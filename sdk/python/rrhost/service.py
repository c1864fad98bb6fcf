"""What a plugin serves: the Handler service, and go-plugin's beside it."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

import grpc

from rrhost.errors import stack_of
from rrhost.handler import Handler
from rrhost.proto import goplugin_pb2 as gp
from rrhost.proto import handler_pb2 as pb
from rrhost.settings import Settings, SettingsError
from rrhost.stream import Session

HANDLER = "rrhost.plugin.v1.Handler"
HEALTH = "grpc.health.v1.Health"
CONTROLLER = "plugin.GRPCController"
STDIO = "plugin.GRPCStdio"

HEALTH_NAME = "plugin"  # the service that go-plugin asks about
SERVING = 1

TOKEN_KEY = "rrhost-token"

# The stream's flow control window. It holds a largest payload and several full
# frames, so that a transfer does not wait for the other end to say "more".
WINDOW = 4 << 20

_log = logging.getLogger("rrhost.service")

Call = grpc.aio.ServicerContext


class Service:
    """Answers the host's calls."""

    def __init__(self, about: pb.DescribeResponse, handlers: list[Handler], settings: Settings, pool: Executor) -> None:
        self._about = about
        self._handlers = {h.name: h for h in handlers}
        self._settings = settings
        self._pool = pool
        self._max_reply = 0
        self._session: Session | None = None
        self._leaving = False
        self.closing = asyncio.Event()  # the host asked the process to end

    async def leave(self) -> bool:
        """Finishes what runs and ends the stream; False if there is none. No other
        one is opened."""
        self._leaving = True
        session = self._session
        if session is None:
            return False
        session.leave()
        await session.done.wait()
        return True

    async def describe(self, _: pb.DescribeRequest, call: Call[Any, Any]) -> pb.DescribeResponse:
        return self._about

    async def configure(self, request: pb.ConfigureRequest, call: Call[Any, Any]) -> pb.ConfigureResponse:
        try:
            await self._settings.apply(request.settings)
        except SettingsError as error:
            await call.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception as error:
            # Not the exception's text: a setting may be a secret.
            _log.error("the plugin's on_configure failed", extra={"stack": stack_of(error)})
            kind = type(error).__name__
            await call.abort(grpc.StatusCode.INVALID_ARGUMENT, f"on_configure raised {kind}; the log has its lines")
        self._max_reply = request.max_reply
        return pb.ConfigureResponse()

    async def handle(self, _: Any, call: Call[Any, Any]) -> None:
        if self._session is not None or self._leaving:
            await call.abort(grpc.StatusCode.FAILED_PRECONDITION, "one stream at a time, and none after a goodbye")
        self._session = Session(self._handlers, self._pool, self._max_reply)
        try:
            await self._session.run(call)
        finally:
            self._session = None

    async def check(self, request: gp.HealthCheckRequest, call: Call[Any, Any]) -> gp.HealthCheckResponse:
        if request.service not in ("", HEALTH_NAME):
            await call.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service!r}")
        return gp.HealthCheckResponse(status=SERVING)

    async def shutdown(self, _: gp.Empty, call: Call[Any, Any]) -> gp.Empty:
        self.closing.set()
        return gp.Empty()

    async def stdio(self, _: gp.Empty, call: Call[Any, Any]) -> None:
        """Held open without data: what is printed is in the log already."""
        await self.closing.wait()


def server_of(service: Service, max_message: int, token: str) -> grpc.aio.Server:
    """A server of all services, without a port.

    Args:
        max_message: The largest gRPC message either side sends, in bytes.
        token: What each call must carry as ``rrhost-token``; empty: nothing.
    """
    interceptors = [_TokenCheck(token)] if token else []
    server = grpc.aio.server(
        interceptors=interceptors,
        options=[
            ("grpc.max_receive_message_length", max_message),
            ("grpc.max_send_message_length", max_message),
            ("grpc.http2.lookahead_bytes", WINDOW),
            ("grpc.http2.bdp_probe", 0),  # the window is set
            ("grpc.so_reuseport", 0),
        ],
    )
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                HANDLER,
                {
                    "Describe": _unary(service.describe, pb.DescribeRequest),
                    "Configure": _unary(service.configure, pb.ConfigureRequest),
                    "Handle": grpc.stream_stream_rpc_method_handler(
                        service.handle, pb.RequestFrame.FromString, pb.ResultFrame.SerializeToString
                    ),
                },
            ),
            grpc.method_handlers_generic_handler(HEALTH, {"Check": _unary(service.check, gp.HealthCheckRequest)}),
            grpc.method_handlers_generic_handler(CONTROLLER, {"Shutdown": _unary(service.shutdown, gp.Empty)}),
            grpc.method_handlers_generic_handler(
                STDIO,
                {"StreamStdio": grpc.unary_stream_rpc_method_handler(service.stdio, gp.Empty.FromString, _serialize)},
            ),
        )
    )
    return server


def _unary(fn: Callable[[Any, Any], Awaitable[Any]], request: Any) -> grpc.RpcMethodHandler[Any, Any]:
    return grpc.unary_unary_rpc_method_handler(fn, request.FromString, _serialize)


def _serialize(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


class _TokenCheck(grpc.aio.ServerInterceptor):
    """Refuses calls of whoever is not the host."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        metadata = handler_call_details.invocation_metadata or ()
        given = [value for key, value in metadata if key == TOKEN_KEY]
        if len(given) == 1:
            text = given[0].encode() if isinstance(given[0], str) else given[0]
            if hmac.compare_digest(text, self._token):
                return await continuation(handler_call_details)
        # Of the streaming kind, which ends also a call that never sends.
        return grpc.stream_stream_rpc_method_handler(_refuse)


async def _refuse(_: Any, call: Call[Any, Any]) -> None:
    await call.abort(
        grpc.StatusCode.UNAUTHENTICATED, f"{TOKEN_KEY} is missing or wrong: the plugin serves its host alone"
    )
