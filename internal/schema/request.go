package schema

import "rrhost/internal/handler"

// OfRequests is what the host holds requests against before a handler sees them:
// the handler's schema, or nil if it has none or checks by itself. Whatever
// stands in for the host, as tests do, asks here too: what passes there must not
// be refused in production.
func OfRequests(text []byte, handlerChecks bool) (*Schema, error) {
	if len(text) == 0 || handlerChecks {
		return nil, nil
	}
	return Compile(text)
}

// Refusal is the answer to a request that does not fit, which names the first
// mistake. It is nil if the request fits; everything fits a nil Schema.
func (s *Schema) Refusal(payload []byte) *handler.Error {
	if s == nil {
		return nil
	}
	if wrong := s.Check(payload); len(wrong) > 0 {
		return handler.Misfit(wrong[0].String())
	}
	return nil
}
