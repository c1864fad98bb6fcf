"""The handlers that every SDK of rrhost must serve alike."""

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import Any

from rrhost import Context, HandlerError, handle, handle_raw, serve


@dataclass
class Settings:
    greeting: str | None = None


configured: dict[str, Any] = {}


def configure(settings: Settings) -> None:
    if settings.greeting is not None:
        configured["greeting"] = settings.greeting


async def echo(payload: bytes) -> bytes:
    return payload


async def info(_: Any, ctx: Context) -> dict[str, Any]:
    return {
        "request_id": ctx.request_id,
        "topic": ctx.topic,
        "handler": ctx.handler,
        "attempt": ctx.attempt,
        "redelivered": ctx.redelivered,
        "remaining_ms": int(ctx.remaining * 1000),
        "traceparent": ctx.traceparent,
    }


@dataclass
class Failure:
    code: str = ""
    message: str = ""
    details: Any = None


async def fail(failure: Failure) -> None:
    raise HandlerError(failure.code, failure.message, failure.details)


@dataclass
class Text:
    text: str = ""


async def panic(text: Text) -> None:
    raise RuntimeError("secret-" + text.text)


@dataclass
class Pause:
    ms: int = 0


async def slow(pause: Pause, ctx: Context) -> dict[str, int]:
    try:
        await asyncio.sleep(pause.ms / 1000)
    except asyncio.CancelledError:
        ctx.logger.info("slow was cancelled")
        raise
    return {"slept_ms": pause.ms}


@dataclass
class Chatter:
    lines: int = 0
    size: int = 0


async def chatty(chatter: Chatter, ctx: Context) -> dict[str, int]:
    text = "x" * chatter.size
    for _ in range(chatter.lines):
        print(text)
        print(text, file=sys.stderr)
        ctx.logger.info(text)
    return {"lines": chatter.lines}


@dataclass
class Size:
    bytes: int = 0


async def huge(size: Size) -> str:
    return "x" * size.bytes


@dataclass
class Typed:
    name: str  # without defaults: a missing field is the SDK's to fill
    count: int


async def typed(value: Typed) -> Typed:
    return value


async def settings(_: Any) -> dict[str, Any]:
    return configured


@dataclass
class Exit:
    code: int = 0


async def exit(exit: Exit) -> None:
    os._exit(exit.code)


if __name__ == "__main__":
    serve(
        handle_raw("echo", echo),
        handle("info", info),
        handle("fail", fail),
        handle("panic", panic),
        handle("slow", slow),
        handle("chatty", chatty),
        handle("huge", huge),
        handle("typed", typed),
        handle("settings", settings),
        handle("exit", exit),
        on_configure=configure,
        name="conformance",
    )
