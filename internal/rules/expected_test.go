package rules

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

// expectation is a line of testdata/expected-actions.tsv.
type expectation struct {
	code    int32
	family  diagnose.Family
	actions []string
}

func readExpectations(t *testing.T) []expectation {
	t.Helper()
	f, err := os.Open("testdata/expected-actions.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []expectation
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		cols := strings.Split(line, "\t")
		if len(cols) != 3 {
			t.Fatalf("line %q", line)
		}
		code, err := strconv.ParseInt(cols[0], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, expectation{int32(code), diagnose.Family(cols[1]), strings.Split(cols[2], ",")})
	}
	return list
}

// TestLeadingActions holds the action that leads without evidence against a
// list that was made from the vendor's list, the field reports and contract
// section 5, by somebody who had not seen the rules.
func TestLeadingActions(t *testing.T) {
	set := shippedSet(t)
	list := readExpectations(t)
	if len(list) != 193 {
		t.Fatalf("%d codes are expected, want 193", len(list))
	}
	first := 0
	for _, want := range list {
		m := set.Match(diagnose.Key{Producer: diagnose.ProducerDNA, Code: want.code})
		if !m.Known || m.Family != want.family {
			t.Errorf("%d: family %s, known %v; want %s", want.code, m.Family, m.Known, want.family)
			continue
		}
		got := string(m.Rule.Causes[0].Action)
		if !slices.Contains(want.actions, got) {
			t.Errorf("%d (%s): %s leads, want one of %v", want.code, m.Rule.Condition, got, want.actions)
		}
		if got == want.actions[0] {
			first++
		}
	}
	// So that a list of alternatives does not hide a drift.
	if first < 150 {
		t.Errorf("only %d leading actions are the first choice of the list", first)
	}
}
