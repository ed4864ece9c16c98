// Package mqtt is the room that knows MQTT: it reads messages into
// observations, keeps the connections to the broker, publishes what the loop
// has made durable, and serves the broker in the process.
//
// The reading half has no connection and no clock. A Source is one configured
// filter with a format; a Decoder takes topic and payload of a message and
// answers with exactly one of two values: an observation, or the named reason
// for which the input is refused. Whatever a device sends, the answer is
// bounded in size, valid UTF-8, and free of the secrets that the vendor's
// payloads carry.
//
// Two formats are read (contract section 3): dna, what gateway programs
// publish of the vendor SDK's results, and availability, the words online and
// offline and their kin.
package mqtt
