// client sends one request to the topic calculate and prints the answer.
package main

import (
	"context"
	"fmt"
	"log"

	"rrhost/client"
	"rrhost/config"
)

func main() {
	cfg, err := config.Load("config.toml")
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.Open(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	sum := map[string]float64{"a": 10, "b": 5}
	total, err := client.Call[map[string]any](context.Background(), c, "calculate", sum)
	fmt.Println(total["result"], err)
}
