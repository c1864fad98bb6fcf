// A plugin with handlers that break it after they have answered.
import { handle, serve } from "rrhost/plugin";

const secret = "s3cr3t";

serve(
  handle("throws", () => void setTimeout(() => {
    throw new RangeError(secret);
  }, 10)),
  handle("rejects", () => void Promise.reject(new RangeError(secret))),
);
