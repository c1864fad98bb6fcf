package host

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/google/uuid"

	"rrhost/config"
	"rrhost/host/internal/intake"
	"rrhost/host/internal/supervise"
	"rrhost/internal/discovery"
	"rrhost/internal/kafka"
	"rrhost/internal/stream"
)

// identity is how a host is known to requesters.
type identity struct {
	id      string // of this life of it
	name    string // of the machine
	started time.Time
}

func newIdentity() identity {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return identity{id: uuid.NewString(), name: discovery.Plain(name), started: time.Now()}
}

// announce tells requesters what the host serves, until ctx is done.
func (r *run) announce(ctx context.Context, producer *kafka.Producer) {
	p := r.publisher
	p.Topic, p.Send, p.Now = r.cfg.Discovery.Topic, producer.SendTo, r.announcement
	p.Failed = func(err error) {
		r.logger.Warn("requesters are not told what this host serves; trying again", "topic", p.Topic, "error", err)
	}
	p.Run(ctx)
}

// changed says that there may be something new to announce.
func (h *Host) changed() {
	if h.publisher != nil {
		h.publisher.Changed()
	}
}

// announcement is what the host serves now.
func (r *run) announcement() discovery.Announcement {
	a := discovery.Announcement{Host: r.self.id, Name: r.self.name, Group: discovery.Plain(r.cfg.Kafka.Group), Started: r.self.started.UnixMilli()}
	claims := make(map[string][]intake.PartitionState)
	for _, p := range r.intake.State().Partitions {
		claims[p.Topic] = append(claims[p.Topic], p)
	}
	for _, s := range r.servers {
		about := s.about()
		for _, t := range s.topics {
			topic := discovery.Topic{
				Name: t.Name, Plugin: discovery.Plain(s.name), Version: discovery.Plain(about.version), SDK: discovery.Plain(about.sdk),
				State: about.state, TimeoutMS: t.Timeout.Milliseconds(),
				Counters: discovery.Counters{Answered: r.flow.topics[t.Name].metrics.Answered()},
			}
			if h := about.handler(s.name, t); h != nil {
				topic.Handler, topic.Request, topic.Response = discovery.Plain(h.Name), validJSON(h.RequestSchema), validJSON(h.ResponseSchema)
			}
			for _, c := range claims[t.Name] {
				topic.Counters.InFlight += c.InFlight
				topic.Counters.Waiting += c.Waiting
				topic.Counters.Partitions = append(topic.Counters.Partitions, c.Partition)
			}
			a.Topics = append(a.Topics, topic)
		}
	}
	return a
}

// validJSON is a plugin's schema, where that is JSON.
func validJSON(text []byte) json.RawMessage {
	if !json.Valid(text) {
		return nil
	}
	return text
}

// pong is the answer to a ping of a topic.
func (r *run) pong(t *topic) []byte {
	about := t.server.about()
	p := discovery.Pong{Host: r.self.id, Name: r.self.name, Plugin: discovery.Plain(t.server.name), Version: discovery.Plain(about.version), State: about.state}
	if h := about.handler(t.server.name, t.Topic); h != nil {
		p.Handler = discovery.Plain(h.Name)
	}
	body, err := json.Marshal(p)
	if err != nil { // strings always encode
		panic(err)
	}
	return body
}

// aboutServer is what there is to tell of a server.
type aboutServer struct {
	version, sdk, state string
	handlers            []stream.HandlerInfo
}

func (s *server) about() aboutServer {
	if s.handlers != nil {
		return aboutServer{state: string(supervise.StateReady), handlers: s.handlerInfos()}
	}
	s.mu.Lock()
	plugin := s.plugin
	s.mu.Unlock()
	if plugin == nil { // it is about to be started
		return aboutServer{state: string(supervise.StateFound)}
	}
	state := plugin.State()
	return aboutServer{version: state.Version, sdk: state.SDK, state: string(state.State), handlers: state.Handlers}
}

// handler is the one that a topic's requests go to; nil while it is not known.
func (a *aboutServer) handler(plugin string, t config.Topic) *stream.HandlerInfo {
	names := make([]string, len(a.handlers))
	for i, h := range a.handlers {
		names[i] = h.Name
	}
	to := route(plugin, t, names)
	for i := range a.handlers {
		if a.handlers[i].Name == to.Handler {
			return &a.handlers[i]
		}
	}
	return nil
}
