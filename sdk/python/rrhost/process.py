"""The plugin's process: from its start by the host to its end."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from rrhost import logs
from rrhost.handler import Handler
from rrhost.settings import OnConfigure, Settings
from rrhost.version import __version__

PROTOCOL_VERSION = 1  # of plugin/proto/handler.proto

COOKIE_ENV = "RRHOST_PLUGIN"
COOKIE = "handler/1"
SOCKET_DIR_ENV = "PLUGIN_UNIX_SOCKET_DIR"
CLIENT_CERT_ENV = "PLUGIN_CLIENT_CERT"
MAX_MESSAGE_ENV = "RRHOST_MAX_MESSAGE"
TOKEN_ENV = "RRHOST_TOKEN"

DEFAULT_MAX_MESSAGE = (256 << 10) + (1 << 20)  # a frame, and headroom
MAX_SOCKET_PATH = 100  # bytes; Linux takes 107, macOS 103

# How long a plugin that has finished after SIGTERM waits for its host to end the
# connection, so that the last results arrive.
LEAVE_GRACE = 5.0
# How long the process may take to end once the host asked for it, which kills
# it after 2 s.
EXIT_GRACE = 1.5

if TYPE_CHECKING:
    from rrhost.service import Service

_log = logging.getLogger("rrhost.process")


@dataclass(frozen=True)
class Plugin:
    """What is served."""

    handlers: list[Handler]
    settings: Settings
    name: str
    version: str
    max_threads: int


def serve(
    *handlers: Handler,
    on_configure: OnConfigure | None = None,
    name: str = "",
    version: str = "",
    max_threads: int = 32,
) -> NoReturn:
    """Serves the handlers until the host ends the process. It does not return.

    Started by hand, the program explains itself and exits with 1. Call it last, in
    the main thread. It makes an event loop of its own, ignores SIGINT, which a
    terminal sends to everyone, and on SIGTERM finishes what runs and exits. It
    also exits when the host is gone, however that went.

    What is printed, and what the logging module gets, joins the host's log.

    Args:
        handlers: At least one; their names differ.
        on_configure: Called once, before the first request, with the plugin's own
            section of the host's configuration, ``[plugin.NAME.config]``, decoded
            by its parameter's annotation; ``{}`` if there is no such section. A
            key that the type lacks is refused. It may be ``async``, and is where
            to connect to what handlers need. A ValueError or HandlerError refuses
            the settings: the operator reads its text. Without ``on_configure`` a
            plugin takes no configuration, and any is refused.
        name: For people; by default the program's.
        version: Of the plugin; the host shows that of plugin.toml.
        max_threads: How many synchronous handlers run at once, from 1; others wait.

    Raises:
        ValueError: No handler, two of one name, or max_threads is below 1.
        TypeError: ``on_configure`` does not take one argument with a JSON form.
    """
    names = [h.name for h in handlers]
    if not names:
        raise ValueError("serve: a plugin has at least one handler")
    for one in names:
        if names.count(one) > 1:
            raise ValueError(f"serve: two handlers are named {one!r}")
    if max_threads < 1:
        raise ValueError(f"serve: max_threads is {max_threads}, and at least 1 is wanted")
    plugin = Plugin(list(handlers), Settings(on_configure), name or program_name(), version, max_threads)
    if os.environ.get(COOKIE_ENV) != COOKIE:
        sys.stderr.write(by_hand(plugin))
        sys.exit(1)
    sys.exit(_serve(plugin))


def by_hand(plugin: Plugin) -> str:
    """Tells who starts a plugin like a program what it is."""
    handlers = "".join(f"  {h.name}\n" for h in plugin.handlers)
    return (
        f"{plugin.name} is a plugin for rrhost, which starts it by itself. Its handlers:\n{handlers}"
        "To use it, put its folder into the plugin directory and name it in the configuration:\n\n"
        f'  [[topic]]\n  name   = "{plugin.name}"\n  plugin = "{plugin.name}"\n\nThen: rrhost run\n'
    )


def program_name() -> str:
    """The script's name, or its folder's where it is called main."""
    path = os.path.abspath(sys.argv[0] or "plugin")
    stem = os.path.splitext(os.path.basename(path))[0]
    return os.path.basename(os.path.dirname(path)) if stem in ("main", "__main__") else stem


def _serve(plugin: Plugin) -> int:
    handshake = logs.take_over()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The folder's copy that runs is verified by its digest: nothing is added to it.
    sys.dont_write_bytecode = True
    if os.environ.get(CLIENT_CERT_ENV):
        print("plugin.toml must say tls = false: gRPC for Python has no P-521 certificates", file=sys.stderr)
        return 1
    try:
        import rrhost.service  # noqa: F401
    except ImportError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        print(
            f"{error}; is it installed for Python {version}? "
            "python3 -m pip install --upgrade --target vendor -r requirements.txt",
            file=sys.stderr,
        )
        return 1
    try:
        stdin = os.dup(0)
    except OSError:
        print("stdin is closed: it is where a plugin sees its host's end", file=sys.stderr)
        return 1
    # What handlers and their children read must not be the host's pipe.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    threading.Thread(target=_exit_with_host, args=(stdin,), name="rrhost-stdin", daemon=True).start()
    return asyncio.run(_main(plugin, handshake))


def _exit_with_host(stdin: int) -> None:
    """Ends the process when the host is gone: the other end of stdin is the host's
    alone, and the kernel closes it whatever the host died of."""
    try:
        while os.read(stdin, 4096):
            pass
    finally:  # an error is an end too
        os._exit(1)


async def _main(plugin: Plugin, handshake: int) -> int:
    # Not before: a program that is started by hand needs neither.
    from rrhost.proto import handler_pb2 as pb
    from rrhost.service import Service, server_of

    about = pb.DescribeResponse(
        name=plugin.name,
        version=plugin.version,
        sdk=f"python {__version__}",
        handlers=[
            pb.HandlerInfo(
                name=h.name,
                request_schema=h.request_schema,
                response_schema=h.response_schema,
                checks_payload=h.checks_payload,
            )
            for h in plugin.handlers
        ],
        config_schema=plugin.settings.schema,
    )
    pool = ThreadPoolExecutor(plugin.max_threads, thread_name_prefix="rrhost")
    service = Service(about, plugin.handlers, plugin.settings, pool)
    server = server_of(service, max_message(), os.environ.pop(TOKEN_ENV, ""))
    path = socket_path()
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    leaver = loop.create_task(_leave(service, asked))
    os.write(handshake, f"1|{PROTOCOL_VERSION}|unix|{path}|grpc|\n".encode())
    os.close(handshake)

    await service.closing.wait()
    leaver.cancel()
    # A handler that does not end, or a thread, does not keep the process.
    last = threading.Timer(EXIT_GRACE, os._exit, (0,))
    last.daemon = True
    last.start()
    await server.stop(EXIT_GRACE / 3)
    pool.shutdown(wait=False, cancel_futures=True)
    return 0


async def _leave(service: Service, asked: asyncio.Event) -> None:
    """Finishes on SIGTERM."""
    await asked.wait()
    if await service.leave():
        try:
            await asyncio.wait_for(service.closing.wait(), LEAVE_GRACE)
        except asyncio.TimeoutError:
            _log.debug("the host has not ended the connection")
    service.closing.set()


def max_message() -> int:
    """The largest gRPC message either side sends, in bytes."""
    text = os.environ.get(MAX_MESSAGE_ENV, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else DEFAULT_MAX_MESSAGE


def socket_path() -> str:
    """A path for the socket in the folder that the host gave.

    Raises:
        OSError: It is too long for the path of a unix socket.
    """
    folder = os.environ.get(SOCKET_DIR_ENV) or tempfile.mkdtemp(prefix="rrhost-")
    path = os.path.join(folder, f"py-{secrets.token_hex(4)}")
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise OSError(f"{path} is too long for the path of a unix socket: set TMPDIR to a shorter one")
    return path
