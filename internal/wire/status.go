package wire

// Status is the outcome of a request: "ok" or one of a few codes. There are no
// others.
type Status string

// The statuses of replies.
const (
	StatusOK                Status = "ok"
	StatusHandlerError      Status = "handler_error"
	StatusExpired           Status = "expired"
	StatusDeadlineExceeded  Status = "deadline_exceeded"
	StatusInvalidPayload    Status = "invalid_payload"
	StatusPluginUnavailable Status = "plugin_unavailable"
	StatusPluginCrashed     Status = "plugin_crashed"
	StatusNoHandler         Status = "no_handler"
	StatusUndecryptable     Status = "undecryptable"
	StatusMalformed         Status = "malformed"
	StatusReplyTooLarge     Status = "reply_too_large"
)

// StatusReplyNotAllowed is a reason of dead letters that no reply can have,
// since there is nowhere to reply to.
const StatusReplyNotAllowed Status = "reply_not_allowed"

// A StatusInfo is one row of the status table.
type StatusInfo struct {
	Status  Status
	Meaning string
	// ExitCode is what rrclient exits with.
	ExitCode int
	// Authenticated is whether the reply has a sealed body, without which it
	// is not to be believed. The others have an empty one.
	Authenticated bool
	// Reply is whether replies carry it.
	Reply bool
	// DeadLetter is whether dead letters carry it as their reason.
	DeadLetter bool
}

// statusTable is the only place where a status has properties.
var statusTable = [...]StatusInfo{
	{StatusOK, "the body is the response", 0, true, true, false},
	{StatusHandlerError, "the handler returned an error or panicked; its own code is in the body", 4, true, true, false},
	{StatusExpired, "too late before it started; if it was delivered again, an earlier host may have started it", 3, true, true, false},
	{StatusDeadlineExceeded, "too late while it ran", 3, true, true, false},
	{StatusInvalidPayload, "not JSON, not what the handler takes, or above the host's max_payload", 1, true, true, false},
	{StatusPluginUnavailable, "the plugin was not ready in time, or is not to be started", 1, true, true, false},
	{StatusPluginCrashed, "the plugin died with it, as often as it may be tried", 1, true, true, true},
	{StatusNoHandler, "the plugin has no such handler", 1, true, true, false},
	{StatusUndecryptable, "the host could not open the request", 1, false, true, true},
	{StatusMalformed, "the host could not read the request's headers", 1, false, true, true},
	{StatusReplyTooLarge, "the response is larger than a reply may be", 1, true, true, false},
	{StatusReplyNotAllowed, "the request names a reply topic or partition that the host does not allow", 1, false, false, true},
}

// Statuses returns the statuses of replies, in the order of the documents.
func Statuses() []Status { return statusesWhere(func(i StatusInfo) bool { return i.Reply }) }

// Reasons returns the reasons of dead letters.
func Reasons() []Status { return statusesWhere(func(i StatusInfo) bool { return i.DeadLetter }) }

func statusesWhere(keep func(StatusInfo) bool) []Status {
	var list []Status
	for _, row := range statusTable {
		if keep(row) {
			list = append(list, row.Status)
		}
	}
	return list
}

// Info returns the row of s, or false for a string that is no status.
func (s Status) Info() (StatusInfo, bool) {
	for i := range statusTable { // a dozen short strings: faster than a map
		if statusTable[i].Status == s {
			return statusTable[i], true
		}
	}
	return StatusInfo{}, false
}

// Valid reports whether a reply can have s.
func (s Status) Valid() bool {
	row, _ := s.Info()
	return row.Reply
}

// ExitCode is what rrclient exits with: 1 for what is no status.
func (s Status) ExitCode() int {
	if row, ok := s.Info(); ok {
		return row.ExitCode
	}
	return 1
}

// Authenticated reports whether a reply with s has a sealed body and must not
// be believed unless that opens.
func (s Status) Authenticated() bool {
	row, _ := s.Info()
	return row.Authenticated
}
