package main

import (
	"encoding/json"
	"fmt"
	"time"
)

// demoFault is what a device reports while something is wrong.
type demoFault struct {
	code int
	// name is what the vendor's cloud calls it, where it does not say the code.
	name string
	msg  string
}

// Each fault of the demo is in the words of the program that reports it.

func demoDNS() *demoFault   { return &demoFault{code: -4013, msg: "dns lookup failed"} }
func demoBoard() *demoFault { return &demoFault{code: -4028, msg: "no answer from mcu"} }
func demoKey() *demoFault   { return &demoFault{code: -7, msg: "control key is expired"} }
func demoControlID() *demoFault {
	return &demoFault{code: -4012, msg: "control id error, the device has been reset"}
}
func demoLocked() *demoFault { return &demoFault{code: -1, msg: "authentication failed"} }
func demoOffline() *demoFault {
	return &demoFault{code: -3, name: "ENDPOINT_UNREACHABLE", msg: "the device is offline"}
}

// demoProducer is the kind of program that speaks for a device; each has its
// own shape of results.
type demoProducer int

const (
	// demoSDK is a program on the vendor's SDK: results with status and msg.
	demoSDK demoProducer = iota
	// demoCloud is a bridge to the vendor's cloud: results under event.payload.
	demoCloud
	// demoLAN is a program on a LAN library: exceptions as text.
	demoLAN
)

// demoDevice is one simulated device.
type demoDevice struct {
	id, model, fw string
	producer      demoProducer
	number        int
	// fault is what is wrong, nil when it is well.
	fault *demoFault
	// next is when it reports again, counted from the start of the demo.
	next time.Duration
}

// demoDevices are twelve devices in two rooms.
func demoDevices() []demoDevice {
	devices := []demoDevice{
		{id: "living-ac", model: "AC split unit", fw: "43059"},
		{id: "living-remote", model: "RM4 pro", fw: "52079", producer: demoLAN},
		{id: "living-plug-tv", model: "SP4L", fw: "57001"},
		{id: "living-lamp", model: "LB1", fw: "50051"},
		{id: "living-curtain", model: "DT360E", fw: "20018"},
		{id: "living-thermostat", model: "Thermostat", fw: "10028", producer: demoCloud},
		{id: "kitchen-ac", model: "AC split unit", fw: "43059"},
		{id: "kitchen-remote", model: "RM4 mini", fw: "52079", producer: demoLAN},
		{id: "kitchen-plug-fridge", model: "SP4L", fw: "57001"},
		{id: "kitchen-plug-kettle", model: "SP3", fw: "53017", producer: demoCloud},
		{id: "kitchen-lamp", model: "LB1", fw: "50051"},
		{id: "kitchen-boiler", model: "Water heater", fw: "30112"},
	}
	for i := range devices {
		devices[i].number = i + 1
	}
	return devices
}

// payload is the device's report as its producer publishes it.
func (d *demoDevice) payload(now time.Time) ([]byte, error) {
	fault := demoFault{msg: "success"}
	if d.fault != nil {
		fault = *d.fault
	}
	switch d.producer {
	case demoLAN:
		if d.fault == nil {
			return []byte("0"), nil
		}
		return fmt.Appendf(nil, "[Errno %d] %s", fault.code, fault.msg), nil
	case demoCloud:
		result := map[string]any{"status": fault.code, "msg": fault.msg, "did": d.did()}
		if fault.name != "" {
			result = map[string]any{"type": fault.name, "message": fault.msg}
		}
		return json.Marshal(map[string]any{"event": map[string]any{"payload": result}})
	case demoSDK:
	}
	return json.Marshal(map[string]any{
		"status": fault.code, "msg": fault.msg, "did": d.did(), "model": d.model, "fw": d.fw, "ts": now.Unix(),
		"mac": fmt.Sprintf("34:ea:34:00:00:%02x", d.number),
		"ip":  fmt.Sprintf("192.0.2.%d", 100+d.number), // RFC 5737: an address of documentation
	})
}

// did is the device's id at the vendor; it need not be that of the topic.
func (d *demoDevice) did() string {
	return fmt.Sprintf("0000000000000000000034ea340000%02x", d.number)
}
