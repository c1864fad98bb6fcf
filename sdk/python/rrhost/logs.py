"""The plugin's log: JSON lines on stderr, which the host takes into its own.

Each line is an object with ``@level`` and ``@message``, the form of hclog. What
is printed becomes plain lines on stderr, which the host logs as they are.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import datetime
from typing import Any

from rrhost.context import current, request_fields

# The host takes 64 KiB of a line, and a line that is cut is no JSON any more.
MAX_LINE = 60 << 10
MAX_TEXT = 8 << 10  # characters of one text, in a line that would be too long

# What every LogRecord has; all else was given as extra.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class HostHandler(logging.Handler):
    """Writes log records in the host's form, one write a line."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = encode(self._fields(record))
        except Exception:  # a format that does not fit its arguments, as logging has it
            self.handleError(record)
            return
        try:
            while line:
                line = line[os.write(self._fd, line) :]
        except OSError:
            # The host is gone, and so is whoever could read of it; the watch on
            # stdin ends the process.
            pass

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "@level": level_name(record.levelno),
            "@message": record.getMessage(),
            "@timestamp": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="microseconds"),
        }
        if not record.name.startswith("rrhost."):
            fields["logger"] = record.name
        ctx = current.get()
        if ctx is not None:
            fields.update(request_fields(ctx))
        for key, value in vars(record).items():
            if key not in _STANDARD and not key.startswith("@"):
                fields[key] = value
        if record.exc_info:
            fields["exception"] = logging.Formatter().formatException(record.exc_info)
        elif record.exc_text:
            fields["exception"] = record.exc_text
        if record.stack_info:
            fields["stack"] = record.stack_info
        return fields


def encode(fields: dict[str, Any]) -> bytes:
    """One line of the host's form, with its end, of at most MAX_LINE bytes."""
    line = _json(fields)
    if len(line) > MAX_LINE:
        line = _json(
            {k: v[:MAX_TEXT] + "…" if isinstance(v, str) and len(v) > MAX_TEXT else v for k, v in fields.items()}
        )
    if len(line) > MAX_LINE:
        # Many fields, or deep ones: the message alone.
        head = {k: fields[k] for k in ("@level", "@message", "@timestamp")}
        head["@message"] = head["@message"][: MAX_TEXT // 2] + "…"
        line = _json({**head, "truncated": True})
    return line + b"\n"


def _json(fields: dict[str, Any]) -> bytes:
    text = json.dumps(fields, default=repr, ensure_ascii=False, skipkeys=True)
    return text.encode("utf-8", "backslashreplace")


def level_name(level: int) -> str:
    """The host's name of a level: logging has fewer names and more numbers."""
    if level >= logging.ERROR:
        return "error"
    if level >= logging.WARNING:
        return "warn"
    if level >= logging.INFO:
        return "info"
    return "debug" if level >= logging.DEBUG else "trace"


def take_over() -> int:
    """Makes the process's output the log, and returns the stdout that the host
    reads the handshake from. From here on what is printed goes to stderr.

    Handlers of the root logger that write to the terminal's streams are replaced;
    a level that was set stays, else it is INFO, and DEBUG for ``ctx.logger``.
    """
    handshake = os.dup(1)
    # The descriptor, not only sys.stdout: also what C code and children print.
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    if sys.stdout is not None:
        sys.stdout.flush()  # what was printed before, and is no handshake
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr):
            root.removeHandler(handler)
    root.addHandler(HostHandler(2))
    if root.level == logging.WARNING:  # logging's default
        root.setLevel(logging.INFO)
    logging.getLogger("rrhost").setLevel(logging.DEBUG)
    return handshake
