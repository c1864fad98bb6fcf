// Package audit keeps and reads the trail: every request and every outcome, as
// they stand in Kafka.
//
// The trail is not written beside the work but read from the log: every request
// is in Kafka before a handler sees it, and every outcome before its requester
// does. An [Ingester] copies the records into a store, by their coordinates, so
// that reading one again changes nothing; a [Reader] answers questions. Payloads
// stay sealed: [Row.Open] opens one for whoever has a key.
//
// What Kafka dropped before it was stored is a row too, of type [TypeGap], with
// the exact offsets.
//
// How far sarama may unpack a batch is one number for the process, which is the
// program's to set and not this package's: sarama.MaxDecompressedBatchSize.
// rrhost sets 64 MiB.
package audit
