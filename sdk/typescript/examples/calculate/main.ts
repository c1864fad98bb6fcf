import { HandlerError, handle, serve } from "rrhost/plugin";

interface Sum {
  a: number;
  b: number;
}

interface Total {
  result: number;
}

const request = {
  type: "object",
  properties: { a: { type: "number" }, b: { type: "number" } },
  required: ["a", "b"],
};

serve(
  handle(
    "calculate",
    ({ a, b }: Sum): Total => {
      const result = a + b;
      if (!Number.isFinite(result)) throw new HandlerError("overflow", "the sum is too large");
      return { result };
    },
    { request },
  ),
);
