"""What fits in a frame."""

from __future__ import annotations

import pytest

from rrhost.errors import Fault
from rrhost.handler import Outcome
from rrhost.proto import handler_pb2 as pb
from rrhost.stream import MAX_FRAME_ITEMS, fill


@pytest.mark.parametrize(
    ("sizes", "want"),
    [
        ([10], 1),
        ([10, 20, 30], 3),
        ([1_000_000, 10], 1),  # a large one alone
        ([10, 1_000_000], 1),  # before a large one
        ([200_000, 50_000, 50_000], 2),
        ([0] * 300, MAX_FRAME_ITEMS),
    ],
)
def test_frames_hold_what_fits(sizes: list[int], want: int) -> None:
    results = [(n, Outcome(b"x" * size, None, 5)) for n, size in enumerate(sizes)]
    frame = pb.ResultFrame()
    assert fill(frame, results, 0) == want
    assert [len(r.payload) for r in frame.results] == sizes[:want]
    rest = pb.ResultFrame()
    if want < len(sizes):
        assert fill(rest, results, want) > want
        assert rest.results[0].number == want


def test_errors_count() -> None:
    fault = Fault("handler_error", "c", "m" * 200_000)
    results = [(n, Outcome(b"", fault, 5)) for n in range(3)]
    frame = pb.ResultFrame()
    assert fill(frame, results, 0) == 1
    assert frame.results[0].error.message == fault.message
