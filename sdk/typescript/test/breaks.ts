// A plugin with handlers that break it after they have answered, and one that
// tells what programs that it starts would see.
import { handle, serve } from "rrhost/plugin";

const secret = "s3cr3t";

serve(
  handle("token", () => process.env.RRHOST_TOKEN ?? "none"),
  handle("throws", () => void setTimeout(() => {
    throw new RangeError(secret);
  }, 10)),
  handle("rejects", () => void Promise.reject(new RangeError(secret))),
);
