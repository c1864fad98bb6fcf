"""Plugins for rrhost in Python.

A plugin is a program that ends with :func:`serve`, and that the host starts::

    from dataclasses import dataclass

    from rrhost import Context, handle, serve

    @dataclass
    class Sum:
        a: float
        b: float

    @dataclass
    class Total:
        result: float

    async def calculate(sum: Sum, ctx: Context) -> Total:
        return Total(result=sum.a + sum.b)

    serve(handle("calculate", calculate))

Handlers run concurrently. A handler may see a request again after a crash, under
the same ``ctx.request_id`` and with a higher ``ctx.attempt`` or
``ctx.redelivered``: what it does should bear that.
"""

from rrhost.context import Context
from rrhost.errors import HandlerError
from rrhost.handler import Handler, handle, handle_raw
from rrhost.process import serve
from rrhost.version import __version__

__all__ = ["Context", "Handler", "HandlerError", "__version__", "handle", "handle_raw", "serve"]
