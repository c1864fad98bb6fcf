package audit_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"rrhost/audit"
	"rrhost/audit/internal/sqlite"
	"rrhost/audit/internal/trail"
	"rrhost/config"
	"rrhost/internal/envelope"
)

const exampleID = "8c4d4e5e-3d0f-4a63-9d0a-0f6f2a4a7a11"

// What happened to a request: its rows, opened with the configured keys.
func ExampleReader_ByRequestID() {
	cfg, clean := exampleTrail() // else config.Load("config.toml")
	defer clean()

	ctx := context.Background()
	reader, err := audit.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	ring, err := cfg.Ring()
	if err != nil {
		log.Fatal(err)
	}
	rows, err := reader.ByRequestID(ctx, exampleID)
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range rows {
		payload, failure, err := row.Open(ring)
		switch {
		case err != nil:
			fmt.Println(row.Type, err)
		case failure != nil:
			fmt.Println(row.Type, row.Status, failure.Code, failure.Message)
		default:
			fmt.Println(row.Type, row.Status, string(payload))
		}
	}
	// Output:
	// request  {"a":1,"b":0,"op":"div"}
	// response handler_error division_by_zero cannot divide by zero
}

// All failures of a topic in the last hour, page by page.
func ExampleReader_ByTime() {
	cfg, clean := exampleTrail() // else config.Load("config.toml")
	defer clean()

	ctx := context.Background()
	reader, err := audit.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	q := audit.Range{From: time.Now().Add(-time.Hour), Topic: "calculate", Status: "handler_error"}
	for {
		page, err := reader.ByTime(ctx, q)
		if err != nil {
			log.Fatal(err)
		}
		for _, row := range page.Rows {
			fmt.Println(row.RequestID, row.Plugin, row.DurationMS, "ms")
		}
		if page.Cursor == "" {
			break
		}
		q.Cursor = page.Cursor
	}
	// Output: 8c4d4e5e-3d0f-4a63-9d0a-0f6f2a4a7a11 calculate 1.0 3 ms
}

// exampleTrail is a trail of one request, as a host would have written it.
func exampleTrail() (cfg config.Config, clean func()) {
	dir, err := os.MkdirTemp("", "trail")
	if err != nil {
		log.Fatal(err)
	}
	text := envelope.GenerateKey()
	cfg = config.Config{
		Topics:     []config.Topic{{Name: "calculate"}},
		Encryption: config.Encryption{Key: config.Secret(text)},
		Dir:        dir,
	}.WithDefaults()
	key, err := envelope.ParseKey(text)
	if err != nil {
		log.Fatal(err)
	}
	ring, err := envelope.NewRing(key)
	if err != nil {
		log.Fatal(err)
	}
	at := time.Now().Add(-time.Minute)
	rows := []trail.Row{{
		RequestID: exampleID, Time: at, RecordTime: at, SentMS: at.UnixMilli(), TimeoutMS: 30_000,
		Type: audit.TypeRequest, Topic: "calculate", RequestTopic: "calculate", ReplyTo: "rr.replies", Success: true,
	}, {
		RequestID: exampleID, Time: at.Add(5 * time.Millisecond), RecordTime: at, Type: audit.TypeResponse, Topic: "rr.replies", RequestTopic: "calculate",
		Status: "handler_error", Error: "handler_error", Attempt: 1, DurationMS: 3, Plugin: "calculate 1.0",
	}}
	for i, plain := range []string{`{"a":1,"b":0,"op":"div"}`, `{"code":"division_by_zero","message":"cannot divide by zero"}`} {
		rows[i].Payload = ring.Seal(nil, []byte(plain), rows[i].About())
	}
	store, err := sqlite.Open(context.Background(), filepath.Join(dir, cfg.Embedded.Dir, "audit.db"), cfg.Audit.TTL)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.Write(context.Background(), rows, nil); err != nil {
		log.Fatal(err)
	}
	return cfg, func() { os.RemoveAll(dir) }
}
