package rules

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// This file reads numbers: codes, ranges of them, and their other spellings.

// codes is one number (low == high) or a range of them.
type codes struct {
	low, high int32
	at        place
}

func (c codes) holds(code int32) bool { return c.low <= code && code <= c.high }

func (c codes) String() string {
	if c.low == c.high {
		return strconv.Itoa(int(c.low))
	}
	return strconv.Itoa(int(c.low)) + ".." + strconv.Itoa(int(c.high))
}

// alias is another spelling of a code.
type alias struct {
	from, to int32
	at       place
}

// bounds reads a pack's range, [low, high].
func (d *decoder) bounds(dst *codes) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var ends []int32
		if n.Kind == yaml.SequenceNode {
			for _, item := range n.Content {
				if v, ok := d.code(item); ok {
					ends = append(ends, v)
				}
			}
		}
		if len(ends) != 2 || len(n.Content) != 2 || ends[0] > ends[1] {
			d.add(d.at(n), "no range (two codes, the lower first: [-999, -1])")
			return
		}
		*dst = codes{ends[0], ends[1], d.at(n)}
	}
}

// beyond reads a list of single codes.
func (d *decoder) beyond(dst *[]codes) func(*yaml.Node) {
	return d.list(func(n *yaml.Node) {
		if v, ok := d.code(n); ok {
			*dst = append(*dst, codes{v, v, d.at(n)})
		}
	})
}

func (d *decoder) aliases(dst *[]alias) func(*yaml.Node) {
	return func(n *yaml.Node) {
		d.pairs(n, func(key, value *yaml.Node) {
			from, ok := d.code(key)
			to, ok2 := d.code(value)
			switch {
			case !ok || !ok2:
			case from == to:
				d.add(d.at(key), "%d means itself", from)
			default:
				*dst = append(*dst, alias{from, to, d.at(key)})
			}
		})
	}
}

// code reads one vendor code: a number that fits 32 bits and is not 0, which
// is success.
func (d *decoder) code(n *yaml.Node) (int32, bool) {
	v, ok := whole(n)
	if !ok || v == 0 || v != int64(int32(v)) {
		d.add(d.at(n), "%s is no code (a whole number of 32 bits that is not 0)", kindOf(n))
		return 0, false
	}
	return int32(v), true
}

// codes reads one entry of a rule's codes: a number, or "LOW..HIGH".
func (d *decoder) codes(dst *[]codes) func(*yaml.Node) {
	return d.list(func(n *yaml.Node) {
		low, high, ranged := strings.Cut(n.Value, "..")
		if !ranged || n.Kind != yaml.ScalarNode {
			if v, ok := d.code(n); ok {
				*dst = append(*dst, codes{v, v, d.at(n)})
			}
			return
		}
		l, err := strconv.ParseInt(low, 10, 32)
		h, err2 := strconv.ParseInt(high, 10, 32)
		if err != nil || err2 != nil || l >= h || l <= 0 && h >= 0 {
			d.add(d.at(n), `%s is no range of codes ("LOW..HIGH", both below or both above 0)`, shorten(n.Value))
			return
		}
		*dst = append(*dst, codes{int32(l), int32(h), d.at(n)})
	})
}
