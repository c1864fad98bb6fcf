package kafka

import (
	"fmt"
	"strconv"

	"github.com/IBM/sarama"

	"rrhost/config"
)

// requestOverhead is what a produce request or a fetch response has beside one
// record of ours, at most: names, batch and protocol.
const requestOverhead = 64 << 10

// checkLimits looks at what bounds a record beside its topic: this library, and
// the brokers. Payloads up to the default pass everywhere, and are not looked at.
func checkLimits(admin sarama.ClusterAdmin, cfg config.Config) ([]Finding, error) {
	record := MaxRecord(cfg)
	if record == brokerLimit {
		return nil, nil
	}
	l := limits{need: record + requestOverhead}
	l.library("sarama.MaxRequestSize", sarama.MaxRequestSize)
	l.library("sarama.MaxResponseSize", sarama.MaxResponseSize)
	if sarama.MaxDecompressedBatchSize > 0 { // else it is not bounded here
		l.library("sarama.MaxDecompressedBatchSize", sarama.MaxDecompressedBatchSize)
	}
	brokers, _, err := admin.DescribeCluster()
	if err != nil {
		return nil, fmt.Errorf("list the brokers: %w", err)
	}
	for _, b := range brokers {
		if err := l.broker(admin, b.ID(), record); err != nil {
			return nil, fmt.Errorf("settings of broker %d: %w", b.ID(), err)
		}
	}
	if !l.wrong {
		l.note("payloads", fmt.Sprintf("up to host.max_payload, %d bytes, pass producer, brokers and consumers", cfg.Host.MaxPayload))
	}
	return l.findings, nil
}

// limits collects findings about what is below need, in bytes.
type limits struct {
	need     int
	wrong    bool
	findings []Finding
}

func (l *limits) note(subject, text string) {
	l.findings = append(l.findings, Finding{Subject: subject, OK: true, Problem: text})
}

func (l *limits) bad(subject, problem, mend string) {
	l.wrong = true
	l.findings = append(l.findings, Finding{Subject: subject, Problem: problem, Mend: mend})
}

func (l *limits) library(name string, value int32) {
	if int(value) < l.need {
		l.bad("payloads", fmt.Sprintf("%s is %d, host.max_payload needs %d", name, value, l.need), "lower host.max_payload")
	}
}

func (l *limits) broker(admin sarama.ClusterAdmin, id int32, record int) error {
	subject := "broker " + strconv.Itoa(int(id))
	found, err := admin.DescribeConfigs([]*sarama.ConfigResource{{Type: sarama.BrokerResource, Name: strconv.Itoa(int(id))}}, sarama.DescribeConfigsOptions{})
	if err != nil {
		return err
	}
	var entries []sarama.ConfigEntry
	for _, f := range found {
		switch f.ErrorCode {
		case sarama.ErrNoError:
			entries = append(entries, f.Configs...)
		case sarama.ErrClusterAuthorizationFailed:
			l.note(subject, fmt.Sprintf("this login may not read its settings; socket.request.max.bytes has to be at least %d", l.need))
		default:
			return f.ErrorCode
		}
	}
	for _, e := range entries {
		value, err := strconv.Atoi(e.Value)
		if err != nil {
			continue
		}
		switch {
		case e.Name == "socket.request.max.bytes" && value < l.need:
			l.bad(subject, fmt.Sprintf("socket.request.max.bytes is %d, host.max_payload needs %d", value, l.need),
				fmt.Sprintf("set socket.request.max.bytes=%d in its server.properties, or lower host.max_payload", l.need))
		case e.Name == "replica.fetch.max.bytes" && value < record:
			l.note(subject, fmt.Sprintf("replica.fetch.max.bytes is %d: records above it are replicated all the same, one a fetch; %d would be quicker", value, record))
		}
	}
	return nil
}
