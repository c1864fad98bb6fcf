package cli

import (
	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"
)

// maxDecompressedBatch bounds what a compressed batch may unpack to: above the
// largest max_payload, which others may compress, and below what would hurt.
const maxDecompressedBatch = 80 << 20

// TuneSarama sets what sarama keeps in package variables, which are the
// program's to set and not its libraries'. Call it before anything connects.
func TuneSarama(logger hclog.Logger) {
	sarama.MaxDecompressedBatchSize = maxDecompressedBatch
	if logger != nil && logger.IsDebug() {
		sarama.Logger = logger.Named("sarama").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug})
	}
}
