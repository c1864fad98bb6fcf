"""What a handler can know about a request beside its payload."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

_handler_log = logging.getLogger("rrhost.handler")

# The request that the current task or thread works for: log lines name it.
current: ContextVar[Context | None] = ContextVar("rrhost_request", default=None)


class Context:
    """A request, as its handler sees it. It lasts as long as the handler runs.

    Attributes:
        request_id: The same for all attempts.
        topic: The request topic.
        handler: The handler's name.
        attempt: Counts this host's tries of the request, from 1.
        redelivered: An earlier host may have run the request already, wholly or
            in part.
        deadline: When the request ends, on the clock of ``time.monotonic()``, in
            seconds; what ``asyncio.timeout_at`` takes.
        traceparent: W3C trace context; empty if the requester sent none.
        tracestate: Likewise.
    """

    __slots__ = (
        "_ended",
        "_logger",
        "_over",
        "attempt",
        "deadline",
        "handler",
        "redelivered",
        "request_id",
        "topic",
        "traceparent",
        "tracestate",
    )

    def __init__(
        self,
        *,
        request_id: str = "",
        topic: str = "",
        handler: str = "",
        attempt: int = 1,
        redelivered: bool = False,
        deadline: float = float("inf"),
        traceparent: str = "",
        tracestate: str = "",
    ) -> None:
        self.request_id = request_id
        self.topic = topic
        self.handler = handler
        self.attempt = attempt
        self.redelivered = redelivered
        self.deadline = deadline
        self.traceparent = traceparent
        self.tracestate = tracestate
        self._over = False
        self._ended: threading.Event | None = None
        self._logger: logging.LoggerAdapter[logging.Logger] | None = None

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; 0 once it has passed."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def cancelled(self) -> bool:
        """Nobody waits for the result any more: the deadline has passed or the
        requester's host gave up.

        An ``async`` handler need not ask: its task is cancelled. A synchronous
        one, which cannot be interrupted, should, where it takes long.
        """
        return self._over

    def wait(self, seconds: float) -> bool:
        """Sleeps, in a synchronous handler, and no longer than somebody waits for
        the result. Tells whether the request is cancelled."""
        if self._ended is None:
            event = threading.Event()
            self._ended = event
            if self._over:
                event.set()
        return self._ended.wait(max(0.0, seconds))

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Its lines join the host's log with the request's id, topic and handler,
        and the plugin's name, version and process. Fields are given as
        ``extra={"items": 3}``. Loggers of ``logging.getLogger`` do the same while
        the handler runs; this one also in tasks and threads of its own."""
        if self._logger is None:
            self._logger = _RequestLogger(_handler_log, self)
        return self._logger

    def end(self) -> None:
        """Marks the request as cancelled. Called by the SDK, and by tests."""
        self._over = True
        if self._ended is not None:
            self._ended.set()


if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # in Python 3.10 no generic


class _RequestLogger(_Adapter):
    """Adds the request to each line, and keeps the line's own fields."""

    def __init__(self, logger: logging.Logger, ctx: Context) -> None:
        super().__init__(logger, None)
        self._fields = request_fields(ctx)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **self._fields}
        return msg, kwargs


def request_fields(ctx: Context) -> dict[str, str]:
    """What log lines say of a request."""
    return {"request_id": ctx.request_id, "topic": ctx.topic, "handler": ctx.handler}
