package audit_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rrhost/audit"
	"rrhost/config"
)

// What happened to a request: its rows, opened with the configured keys.
func ExampleReader_ByRequestID() {
	ctx := context.Background()
	show := func(cfg config.Config, id string) error {
		trail, err := audit.Open(ctx, cfg)
		if err != nil {
			return err
		}
		defer trail.Close()
		ring, err := cfg.Ring()
		if err != nil {
			return err
		}
		rows, err := trail.ByRequestID(ctx, id)
		if err != nil {
			return err
		}
		for _, row := range rows {
			payload, failure, err := row.Open(ring)
			fmt.Println(row.Time, row.Type, row.Status, string(payload), failure, err)
		}
		return nil
	}
	err := show(config.Config{Audit: config.Audit{Store: "none"}}, "8c4d4e5e-3d0f-4a63-9d0a-0f6f2a4a7a11")
	fmt.Println(errors.Is(err, audit.ErrNoStore))
	// Output: true
}

// All failures of a topic in the last hour, page by page.
func ExampleReader_ByTime() {
	ctx := context.Background()
	failures := func(cfg config.Config) error {
		trail, err := audit.Open(ctx, cfg)
		if err != nil {
			return err
		}
		defer trail.Close()
		q := audit.Range{From: time.Now().Add(-time.Hour), Topic: "calculate", Status: "handler_error"}
		for {
			page, err := trail.ByTime(ctx, q)
			if err != nil {
				return err
			}
			for _, row := range page.Rows {
				fmt.Println(row.Time, row.RequestID, row.Error)
			}
			if page.Cursor == "" {
				fmt.Println("complete until", page.CompleteUntil)
				return nil
			}
			q.Cursor = page.Cursor
		}
	}
	err := failures(config.Config{Audit: config.Audit{Store: "none"}})
	fmt.Println(errors.Is(err, audit.ErrNoStore))
	// Output: true
}
