package diagnose

import "fmt"

// StorageFault names why nothing can be made durable; one word for topics,
// pages, metrics and logs.
type StorageFault string

// The faults of the store.
const (
	// StorageFull: the file system has no room left.
	StorageFull StorageFault = "storage-full"
	// StorageFailed: reading, writing or syncing failed, or the file is damaged.
	StorageFailed StorageFault = "storage-failed"
)

// JournalError is what a Journal answers when a batch is not durable for a
// fault of the storage: nothing of the batch may be acknowledged, and the
// engine, which is ahead, is made anew from what the journal holds.
type JournalError struct {
	Fault StorageFault
	Err   error
}

func (e *JournalError) Error() string { return fmt.Sprintf("%s: %v", e.Fault, e.Err) }

// Unwrap is the error below.
func (e *JournalError) Unwrap() error { return e.Err }
