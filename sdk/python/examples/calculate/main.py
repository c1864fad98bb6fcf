"""Arithmetic on two numbers."""

import math
from dataclasses import dataclass
from typing import Annotated

from rrhost import HandlerError, handle, serve

Number = int | float  # a whole number stays one: 10 + 5 is 15, and not 15.0


@dataclass
class Problem:
    a: Annotated[Number | None, "the first number"] = None
    b: Annotated[Number | None, "the second number"] = None
    op: Annotated[str, "add (default), sub, mul or div"] = "add"


@dataclass
class Answer:
    result: Number


async def calculate(problem: Problem) -> Answer:
    if problem.a is None or problem.b is None:
        raise HandlerError("missing_operand", '"a" and "b" are needed, both numbers')
    try:
        result = apply(problem.op, problem.a, problem.b)
        finite = math.isfinite(result)
    except OverflowError:
        finite = False
    if not finite:
        raise HandlerError("overflow", "the result is too large for a 64-bit floating point number")
    return Answer(result)


def apply(op: str, a: Number, b: Number) -> Number:
    if op == "add":
        return a + b
    if op == "sub":
        return a - b
    if op == "mul":
        return a * b
    if op != "div":
        raise HandlerError("unknown_op", '"op" is one of add, sub, mul and div')
    if b == 0:
        raise HandlerError("division_by_zero", "a number cannot be divided by zero")
    quotient = a / b
    return int(quotient) if quotient.is_integer() else quotient


if __name__ == "__main__":
    serve(handle("calculate", calculate))
