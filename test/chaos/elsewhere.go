package main

import "strings"

// elsewhere is a row of the fault matrix, or a part of one, that this harness
// does not stage: why, and which tests do instead.
type elsewhere struct {
	row, why string
	tests    []string // package/TestName
}

func elsewheres() []elsewhere {
	return []elsewhere{
		{"7 loss, by the kernel", "`tc` netem, which mode `cable` uses where the kernel has it; `tbf` and the proxy slow and delay without it", nil},
		{"9 restart by the watchdog", "it needs systemd as the parent; here the agent goes on after SIGCONT", []string{"cmd/agent/TestNotify"}},
		{"15 rules bad", "nothing of it is about processes", []string{"internal/rules/TestBadRules", "internal/rules/TestBadBytes", "internal/rules/TestSiteTornRules"}},
		{
			"16 clock jumps", "the machine's clock is not ours to set, and a static Go program takes no other; time is an argument of the engine",
			[]string{
				"internal/diagnose/TestJumps", "internal/diagnose/TestJumpsChangeNothing", "internal/diagnose/TestClockSetAfterTheStart",
				"internal/diagnose/TestSuspectClockAndDecisions", "internal/store/TestSuspectClockTrimsNothing",
			},
		},
		{
			"20 poison output", "the agent makes no topic and no payload that a broker refuses; tests put them into the outbox",
			[]string{"internal/mqtt/TestPitfall16PoisonEvent", "internal/mqtt/TestPitfall16EveryEvent", "internal/mqtt/TestPitfall16PoisonSnapshot", "internal/store/TestSetAsidePutsADroppedInItsPlace"},
		},
		{"27 probe targets", "nothing of it is about the agent's input or output", []string{"internal/probe/TestTCP", "internal/probe/TestHTTP", "internal/probe/TestTLS", "internal/probe/TestRouteStates"}},
		{"28 no DNS", "the same", []string{"internal/probe/TestDNSCannotTell", "internal/probe/TestDNSSystemResolvers"}},
		{"30 downgrade, upgrade", "there is one earlier schema, of which the tests have a file", []string{"internal/store/TestFirstSchemaIsTakenOver", "internal/store/TestNewerSchemaIsRefusedAndLeftAlone"}},
	}
}

// notRun is the table of them.
func notRun() string {
	var b strings.Builder
	b.WriteString("| row of the fault matrix | not staged here, because | tests instead |\n|---|---|---|\n")
	for _, e := range elsewheres() {
		b.WriteString("| " + e.row + " | " + e.why + " | ")
		for i, t := range e.tests {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString("`" + t + "`")
		}
		if len(e.tests) == 0 {
			b.WriteString("–")
		}
		b.WriteString(" |\n")
	}
	return b.String()
}
