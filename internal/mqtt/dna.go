package mqtt

import (
	"github.com/tidwall/gjson"

	"fieldmedic/internal/diagnose"
)

// maxName is the longest name of a vendor's string error, in bytes.
const maxName = 64

// verdict is the code that counts so far.
type verdict struct {
	found bool
	code  int32
	raw   string
}

// take weighs one more field that may hold a code. The first one that is not
// zero counts, else zero. Null is absent; what is no code at all refuses the
// whole message, because half of it may not be guessed.
func (d *verdict) take(v *value) diagnose.Refusal {
	if !v.present() {
		return ""
	}
	code, raw, ok := codeOf(v)
	if !ok {
		return RefusedMalformed
	}
	if !d.found || d.code == 0 {
		d.found, d.code, d.raw = true, code, raw
	}
	return ""
}

func codeOf(v *value) (code int32, raw string, ok bool) {
	switch v.kind {
	case gjson.Number:
		code, ok = parseDecimal(v.raw)
		return code, v.raw, ok
	case gjson.String:
		return ParseCode(v.str)
	}
	return 0, "", false
}

// readDNA reads an object of the dna format: the code in status or error, at
// the top or in event.payload (the cloud's form), and at no other depth.
func readDNA(top *object, o *diagnose.Observation) diagnose.Refusal {
	var inner object
	if top.event.isObject() {
		if reason := readEvent(top.event.raw, &inner); reason != "" {
			return reason
		}
	}
	var d verdict
	for _, v := range [...]*value{&top.status, &top.err, &inner.status, &inner.err} {
		if reason := d.take(v); reason != "" {
			return reason
		}
	}
	switch {
	case d.code == 0 && namesError(&inner.typ):
		o.CodeRaw = inner.typ.str
		o.Key = diagnose.Key{Producer: diagnose.ProducerDNA, Name: o.CodeRaw}
	case !d.found:
		return RefusedMalformed
	default:
		setCode(d.code, d.raw, o)
	}
	describe(top, o)
	describe(&inner, o)
	return ""
}

// readEvent reads the payload inside the cloud's event object.
func readEvent(raw string, inner *object) diagnose.Refusal {
	var event object
	if reason := readObject(raw, &event); reason != "" {
		return reason
	}
	if !event.payload.isObject() {
		return ""
	}
	return readObject(event.payload.raw, inner)
}

// namesError tells that a type has the form of the vendor's string errors
// (ENDPOINT_UNREACHABLE; opensmarthome, cloud-integrations.md section 2.9).
// Which names there are is for the rules to say: the vendor misspells some.
func namesError(v *value) bool {
	name := v.str
	if v.kind != gjson.String || name == "" || len(name) > maxName || name[0] < 'A' || name[0] > 'Z' {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// readCodeText reads a payload that is a code and nothing else, or the text of
// a LAN library's exception.
func readCodeText(text string, o *diagnose.Observation) diagnose.Refusal {
	code, raw, ok := ParseCode(text)
	if !ok {
		return RefusedMalformed
	}
	setCode(code, raw, o)
	if _, message, isErrno := cutErrno(text); isErrno {
		o.Msg = cleanMsg(message)
	}
	return ""
}

func setCode(code int32, raw string, o *diagnose.Observation) {
	o.CodeRaw = raw
	if code == 0 {
		o.Says = diagnose.SaysSuccess
		return
	}
	o.Says = diagnose.SaysFault
	o.Key = diagnose.Key{Producer: diagnose.ProducerDNA, Code: code}
}
