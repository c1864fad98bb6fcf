"""The generated code is made from the contract as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rrhost.proto import goplugin_pb2, handler_pb2

from .conftest import ROOT

CONTRACT = ROOT.parent.parent / "plugin" / "proto" / "handler.proto"


@pytest.mark.parametrize(
    ("source", "module"), [(CONTRACT, handler_pb2), (ROOT / "rrhost" / "proto" / "goplugin.proto", goplugin_pb2)]
)
def test_generated_from_this_file(source: Path, module: object) -> None:
    if not source.exists():
        pytest.skip(f"{source.name} is not here: this is not the repository")
    text = re.sub(r"//.*", "", source.read_text())
    fields = {
        f"{message}.{field} = {number}"
        for message, body in re.findall(r"message (\w+) \{([^}]*)\}", text)
        for field, number in re.findall(r"(\w+) = (\d+);", body)
    }
    descriptor = module.DESCRIPTOR  # type: ignore[attr-defined]
    assert fields == {
        f"{message.name}.{field.name} = {field.number}"
        for message in descriptor.message_types_by_name.values()
        for field in message.fields
    }
    assert re.search(r"package ([\w.]+);", text).group(1) == descriptor.package  # type: ignore[union-attr]
