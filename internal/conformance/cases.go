package conformance

// cases are the demands, those on every plugin first. Their names and sentences
// stand in the document too, and a test holds the two together.
var cases = []testCase{
	{"handshake", "started by the host, it prints one line of six fields on stdout within the start timeout", "handshake", false, handshake},
	{"by hand", "started without the cookie, it says on stderr what it is, prints no handshake, and exits with 1", "launch", false, byHand},
	{"health", "grpc.health.v1.Health says SERVING for the service plugin", "services", false, health},
	{"token", "a call without the token of RRHOST_TOKEN, or with another, is answered UNAUTHENTICATED and does nothing", "token", false, token},
	{"describe", "Describe names at least one handler, each once, gives schemas that compile or none, and says the same when asked again", "describe", false, describe},
	{"configure", "Configure takes settings that fit the plugin's schema", "configure", false, configure},
	{"no handler", "a request for a handler that the plugin lacks is answered no_handler", "errors", false, noHandler},
	{"concurrency", "of 64 requests at once, each number gets exactly one result", "frames", false, concurrency},
	{"short deadline", "a request whose deadline is a microsecond away gets exactly one result", "deadlines", false, shortDeadline},
	{"early cancel", "a request that is cancelled at once gets exactly one result, and a cancel of an unknown number is ignored", "cancel", false, earlyCancel},
	{"garbage", "payloads that are not JSON or not what a handler takes get exactly one result each, and the process lives on", "errors", false, garbage},
	{"large payload", "payloads of the largest size get exactly one result each, also where that is above the limits of gRPC libraries", "limits", false, largePayload},
	{"interrupt", "SIGINT is ignored", "signals", false, interrupt},
	{"drain", "on SIGTERM it says goodbye, sends the results of all that it took, ends the stream, and exits with 0 on Shutdown", "goodbye-and-drain", false, drain},
	{"close", "when the host closes its side, it sends the results of all that it took, and ends the stream without an error", "goodbye-and-drain", false, closing},
	{"shutdown", "on Shutdown it exits with 0 within two seconds, whatever runs", "shutdown", false, shutdown},
	{"host gone", "when stdin ends, it exits within five seconds, whatever runs", "host-gone", false, hostGone},

	{"echo", "the payload comes back byte for byte", "frames", true, echo},
	{"info", "a handler sees request id, topic, handler, attempt, redelivered, the remaining time and the trace context", "frames", true, info},
	{"fail", "the author's code, message and details arrive as they are; without a code it is error", "errors", true, fail},
	{"panic", "an exception is answered handler_error with the code panic; its text is neither in the answer nor in the log, where an error says that it happened", "errors", true, panics},
	{"typed", "a payload of wrong type is answered invalid_payload, naming the field and not its value; unknown fields pass, and a missing field is its zero value", "errors", true, typed},
	{"parallel", "64 handlers that wait do so at the same time", "frames", true, parallel},
	{"deadline", "a handler that heeds its context ends at its deadline, and is answered deadline_exceeded", "deadlines", true, deadline},
	{"cancel", "a cancelled handler ends, and is answered deadline_exceeded; what it then logs arrives with level and fields", "cancel", true, cancelled},
	{"huge", "a response of max_reply bytes arrives; a larger one is answered reply_too_large by the plugin, and so are larger details", "limits", true, huge},
	{"chatty", "more lines on stdout, on stderr and through the logger than pipes hold block nothing, and all arrive", "logs", true, chatty},
	{"settings", "the settings that Configure got are the handler's", "configure", true, settings},
	{"refused settings", "settings that do not fit are refused with INVALID_ARGUMENT, naming the key and not its value", "configure", true, refusedSettings},
	{"exit", "a handler that ends the process ends it with its code", "exit-codes", true, exits},
}

// handlers are what a conformance plugin has.
var handlers = []string{"echo", "info", "fail", "panic", "slow", "chatty", "huge", "typed", "settings", "exit"}
