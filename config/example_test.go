package config_test

import (
	"errors"
	"fmt"

	"rrhost/config"
)

// All mistakes come at once, each with its line and what would be right.
func ExampleParse() {
	_, err := config.Parse("config.toml", []byte(`
[[topic]]
name    = "calculate"
timeout = 30

[host]
max_payloads = "512KB"
`))
	fmt.Println(err)

	var all *config.Error
	if errors.As(err, &all) {
		fmt.Println(len(all.Faults), "faults, the first in line", all.Faults[0].Line)
	}
	// Output:
	// config.toml:4: topic[1].timeout: 30 is a bare number; write "30s"
	// config.toml:7: host.max_payloads: is not a key of [host]; did you mean max_payload?
	// config.toml:7: host.max_payload: "512KB" is not a size; write "512KiB"
	// 3 faults, the first in line 4
}

// A Config written in Go needs only what differs from the defaults.
func ExampleConfig_WithDefaults() {
	c := config.Config{
		Kafka:  config.Kafka{Brokers: []string{"broker1:9092"}},
		Topics: []config.Topic{{Name: "calculate"}},
	}.WithDefaults()
	fmt.Println(c.Topics[0].Plugin, c.Topics[0].Timeout, c.Replies.Topic)
	// Output: calculate 30s rr.replies
}
