"""The plugin's own section of the host's configuration."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from rrhost.annotation import hints_of, shape_of
from rrhost.codec import decode
from rrhost.errors import HandlerError, PayloadError
from rrhost.handler import schema_text
from rrhost.shape import Anything, Map, Shape

OnConfigure = Callable[[Any], "Awaitable[None] | None"]


class SettingsError(Exception):
    """Why settings are refused; its text is shown to the operator."""


class Settings:
    """What takes the settings, if anything does.

    Raises:
        TypeError: ``on_configure`` does not take one argument of a type with a
            JSON form.
    """

    def __init__(self, on_configure: OnConfigure | None) -> None:
        self._take = on_configure
        self._shape: Shape = Map(Anything())
        if on_configure is None:
            self.schema = b'{"type":"object","additionalProperties":false}'
            return
        parameters = list(inspect.signature(on_configure).parameters)
        try:
            inspect.signature(on_configure).bind(None)
            self._shape = shape_of(hints_of(on_configure).get(parameters[0], dict))
        except TypeError as error:
            raise TypeError(f"on_configure: {error}") from None
        self.schema = schema_text(self._shape, strict=True)

    async def apply(self, text: bytes) -> None:
        """Decodes the settings and hands them over.

        Raises:
            SettingsError: They do not fit, or on_configure raised ValueError or
                HandlerError, whose text the operator gets.
        """
        try:
            settings = decode(text or b"{}", self._shape, strict=True, what="the settings")
        except PayloadError as error:
            raise SettingsError(str(error)) from None
        if self._take is None:
            if settings:
                raise SettingsError("this plugin takes no configuration")
            return
        try:
            result = self._take(settings)
            if inspect.isawaitable(result):
                await result
        except (ValueError, HandlerError) as error:
            raise SettingsError(str(error)) from error
