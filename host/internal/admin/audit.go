package admin

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	descAuditRows    = desc("audit_rows_total", "Rows stored in the trail.")
	descAuditGaps    = desc("audit_gaps_total", "Ranges that Kafka dropped before they were stored.")
	descAuditBad     = desc("audit_malformed_total", "Stored rows of records that could not be read.")
	descAuditForeign = desc("audit_foreign_total", "Replies to other hosts' requests, and pings, not stored.")
	descAuditLag     = desc("audit_lag", "Records not stored yet, by topic and partition.", "topic", "partition")
	descAuditFailing = desc("audit_failing", "1 while nothing can be stored.")
)

func (c *collector) collectAudit(out chan<- prometheus.Metric) {
	stats, on := c.sources.Audit()
	if !on {
		return
	}
	for d, n := range map[*prometheus.Desc]uint64{
		descAuditRows: stats.Rows, descAuditGaps: stats.Gaps, descAuditBad: stats.Malformed, descAuditForeign: stats.Foreign,
	} {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
	failing := 0.0
	if stats.LastError != nil {
		failing = 1
	}
	out <- prometheus.MustNewConstMetric(descAuditFailing, prometheus.GaugeValue, failing)
	for _, p := range stats.Partitions {
		out <- prometheus.MustNewConstMetric(descAuditLag, prometheus.GaugeValue, float64(p.Lag()), p.Topic, fmt.Sprint(p.Partition))
	}
}
