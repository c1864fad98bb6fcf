package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rrhost/client"
	"rrhost/client/clienttest"
	"rrhost/plugin"
)

type Sum struct{ A, B int }

type Total struct{ Result int }

func ExampleCall() {
	c := clienttest.New(plugin.Handle("calculate", func(_ context.Context, in Sum) (Total, error) {
		return Total{Result: in.A + in.B}, nil
	})) // no Kafka needed
	defer c.Close()
	total, err := client.Call[Total](context.Background(), c, "calculate", Sum{A: 10, B: 5}) // Call[Resp, Req any]: Req is inferred
	fmt.Println(total.Result, err)
	// Output: 15 <nil>
}

func ExampleClient_Do() {
	c := clienttest.New(plugin.HandleRaw("shout", func(_ context.Context, b []byte) ([]byte, error) {
		return append(b, '!'), nil
	}))
	defer c.Close()
	reply, err := c.Do(context.Background(), client.Request{Topic: "shout", Payload: []byte("hello")})
	fmt.Println(string(reply.Payload), reply.Status, err)
	// Output: hello! ok <nil>
}

func ExampleTimeoutError() {
	c := clienttest.New(plugin.Handle("sleep", func(ctx context.Context, _ struct{}) (Total, error) {
		<-ctx.Done()
		return Total{}, ctx.Err()
	}))
	defer c.Close()
	_, err := client.Call[Total](context.Background(), c, "sleep", struct{}{}, client.WithTimeout(20*time.Millisecond))
	var timeout *client.TimeoutError
	fmt.Println(errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded))
	// Output: true true
}

func ExampleClient_Ping() {
	c := clienttest.New(plugin.Handle("calculate", func(_ context.Context, in Sum) (Total, error) {
		return Total{Result: in.A + in.B}, nil
	}))
	defer c.Close()
	pong, err := c.Ping(context.Background(), "calculate", client.WithTimeout(time.Second))
	fmt.Println(pong.Name, "answers; the handler", pong.Handler, "is", pong.State, err)
	// Output: clienttest answers; the handler calculate is ready <nil>
}
