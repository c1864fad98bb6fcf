"""Plugins of this repository, as processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rrhost.testing import Plugin

ROOT = Path(__file__).parent.parent
os.environ["PYTHONPATH"] = str(ROOT)  # of the plugins' processes, which are given it


@pytest.fixture(scope="module")
def conformance() -> Iterator[Plugin]:
    with Plugin(ROOT / "conformance", settings={"greeting": "hello"}) as plugin:
        yield plugin
