//go:build !linux

package probe

// kernelSynced cannot be told here: adjtimex(2) is Linux'.
func kernelSynced() (synced, ok bool) { return false, false }
