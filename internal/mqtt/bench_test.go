package mqtt

import "testing"

// BenchmarkDecode: a repeat should cost less than 1.5 µs, a tenth of what the
// client library takes for the message.
func BenchmarkDecode(b *testing.B) {
	d := testDecoder(b)
	for _, bm := range []struct{ name, topic, payload string }{
		{"bare", "devices/ac-7/status", `-7`},
		{"object", "devices/ac-7/status", `{"status":-7,"msg":"control key is expired","did":"00000000000000000000780f77000001","ts":1795341601250}`},
		{"full", "devices/ac-7/status", `{"status":-7,"error":-7,"msg":"control key is expired","did":"00000000000000000000780f77000001","pid":"20025","mac":"78:0f:77:00:00:01","ip":"192.0.2.41","model":"RM4 mini","fw":"52079","ts":1795341601250,"data":{"learning":false}}`},
		{"cloud", "devices/ac-7/status", `{"event":{"header":{"name":"ErrorResponse"},"payload":{"type":"ENDPOINT_UNREACHABLE","message":"Target device is offline"}}}`},
		{"word", "devices/ac-7/availability", `online`},
		{"refused", "devices/ac-7/status", `{"status":true,"cookie":"abc"}`},
	} {
		payload := []byte(bm.payload)
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, refused := d.Decode(bm.topic, payload, false, testTime); (refused != nil) != (bm.name == "refused") {
					b.Fatal(refused)
				}
			}
		})
	}
}
