package kafka

import (
	"errors"

	"github.com/IBM/sarama"

	"rrhost/config"
)

// NewAdmin connects to the brokers of cfg to ask and order. tune, which may be
// nil, changes the settings before they are used. Closing the admin closes the
// client.
func NewAdmin(cfg config.Config, tune func(*sarama.Config)) (sarama.Client, sarama.ClusterAdmin, error) {
	c, brokers, err := Base(cfg)
	if err != nil {
		return nil, nil, err
	}
	if tune != nil {
		tune(c)
	}
	client, err := dial(cfg, c, brokers)
	if err != nil {
		return nil, nil, err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return nil, nil, errors.Join(explain(brokers, err), client.Close())
	}
	return client, admin, nil
}
