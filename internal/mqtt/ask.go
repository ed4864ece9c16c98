package mqtt

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/tidwall/gjson"

	"fieldmedic/internal/diagnose"
)

// maxVerb is the longest verb that is answered, in bytes: a longer one may not
// even fit into a topic.
const maxVerb = 64

// ask takes a request. A bad or forbidden one is answered at once.
//
// A retained one was for somebody long ago. MQTT 3.1.1 shows that only of what
// the broker retains when we subscribe: a request published with the retain
// flag while we are subscribed arrives like any other ([MQTT-3.3.1-9]), and is
// carried out, once; so does one that the broker queued for our session while we
// were away. Its retained copy comes with the flag at each subscribing, and is
// ignored then. Who sends requests must not retain them.
func (in *Inbound) ask(s *session, r *reading, verb diagnose.Verb, m paho.Message) {
	if m.Retained() {
		s.acknowledge(m)
		return
	}
	if len(verb) > maxVerb {
		s.acknowledge(m) // no verb of anybody's, and no topic to answer on
		return
	}
	request, err := diagnose.ParseRequest(verb, m.Payload())
	if err == nil && !slices.Contains(r.requests, verb) {
		err = fmt.Errorf("%s is not allowed over MQTT (the gateway's operator allows it with mqtt.requests)", verb)
	}
	if err != nil {
		if request.Transaction == "" {
			request.Transaction = transaction(m.Payload())
		}
		in.opts.Respond(verb, diagnose.Response{Transaction: request.Transaction, Error: err.Error()})
		s.acknowledge(m)
		return
	}
	in.deliver(s, r, m, diagnose.Delivery{
		Request: &request,
		Respond: func(answer diagnose.Response) { in.opts.Respond(verb, answer) },
	})
}

// maxTransaction is the longest transaction of a bad request that is answered
// under it, in bytes (contract section 4).
const maxTransaction = 128

// transaction is that of a request which is too large to be read, as far as it
// stands in the part that is there; empty where it does not.
func transaction(payload []byte) string {
	found := gjson.GetBytes(payload, "transaction")
	if found.Type != gjson.String || !gjson.Valid(found.Raw) || len(found.Str) > maxTransaction || !utf8.ValidString(found.Str) {
		return ""
	}
	return found.Str
}

// skipped records a packet that was read past; a request among them is
// answered.
func (in *Inbound) skipped(t tooLarge) {
	if verb, ok := strings.CutPrefix(t.topic, in.request); ok && !t.retained && len(verb) <= maxVerb {
		in.opts.Respond(diagnose.Verb(verb), diagnose.Response{
			Transaction: transaction(t.head), Error: fmt.Sprintf("the request has %d bytes (8 KiB at most)", t.bytes),
		})
	}
	in.TooLarge(t.topic, t.bytes, t.head)
}

// TooLarge records a packet that was read past and acknowledged: its topic,
// its length in bytes, and the start of its payload.
func (in *Inbound) TooLarge(topic string, bytes int, head []byte) {
	refused := in.reading.Load().decoder.RefuseTooLarge(topic, head, bytes, in.opts.Now())
	in.opts.Received(refused.Source)
	if !in.opts.Deliver(diagnose.Delivery{Refused: refused, Droppable: true}) {
		in.opts.Dropped(refused.Source)
	}
}
