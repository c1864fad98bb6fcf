// Client asks the handler behind the topic calculate for a sum and prints it.
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
	total, err := client.Call[map[string]float64](context.Background(), c, "calculate", map[string]float64{"a": 10, "b": 5})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(total["result"])
}
