package probe

import "syscall"

// kernelSynced asks the kernel whether something keeps its clock in step.
// Asking changes nothing; in some containers it is forbidden.
func kernelSynced() (synced, ok bool) {
	const (
		unsynced = 0x40 // STA_UNSYNC of adjtimex(2)
		wrong    = 5    // TIME_ERROR
	)
	var state syscall.Timex
	code, err := syscall.Adjtimex(&state)
	if err != nil {
		return false, false
	}
	return code != wrong && state.Status&unsynced == 0, true
}
