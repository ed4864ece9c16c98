package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/store"
)

// This file is what happens when the store fails, was damaged, or was set back.

// restore gives the engine what the store kept, before anything comes in.
func (a *agent) restore(ctx context.Context) error {
	kept, err := a.store.Restore(ctx)
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	var storage *diagnose.JournalError
	err = a.loop.Do(ctx, func(now time.Time, e *diagnose.Engine) diagnose.Outcome {
		return e.Restore(now, kept)
	})
	if err != nil && !errors.As(err, &storage) { // else the loop restores by itself, when it can
		return fmt.Errorf("restore what the store kept: %w", err)
	}
	for err = a.takeInventory(ctx); errors.As(err, &storage); err = a.takeInventory(ctx) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restoreAgain):
		}
	}
	return err
}

// restoreAgain is how often a start looks whether the store can be written
// again.
const restoreAgain = time.Second

// takeInventory makes the engine know the devices and sources that are
// configured.
func (a *agent) takeInventory(ctx context.Context) error {
	cfg := a.setup().cfg
	var refused []string
	err := a.loop.Do(ctx, func(now time.Time, e *diagnose.Engine) diagnose.Outcome {
		e.Sources(sourceNames(cfg))
		out := e.Inventory(now, inventory(cfg))
		refused = out.NoPlace
		return out
	})
	if err != nil {
		return fmt.Errorf("take over the inventory: %w", err)
	}
	if len(refused) > 0 {
		a.log.Error("there is no room for all devices of the inventory", "limit", diagnose.MaxDevices, "left_out", len(refused), "first", refused[0])
	}
	return nil
}

// waitForStore is told each time that the store could not be opened for want of
// room, or for an error of the disk: systemd is not to end a start that waits
// for it. The store itself logs it.
func (a *agent) waitForStore(err error) {
	fault := diagnose.StorageFailed
	if storage, ok := errors.AsType[*diagnose.JournalError](err); ok {
		fault = storage.Fault
	}
	_, _ = daemon.SdNotify(false, fmt.Sprintf("STATUS=%s: waiting for the disk\nEXTEND_TIMEOUT_USEC=%d",
		fault, time.Minute.Microseconds())) // without systemd there is nobody to tell
}

// formerRoots remembers under which root this run publishes, and answers those
// of earlier runs, under which something of ours may be retained.
func (a *agent) formerRoots(ctx context.Context, root string) ([]string, error) {
	roots, err := a.store.Roots(ctx)
	if err != nil {
		return nil, err
	}
	former := slices.DeleteFunc(slices.Clone(roots), func(r string) bool { return r == root })
	if len(former) == len(roots) {
		// Where it cannot be written, the next run that can will know this root.
		if err := a.store.SetRoots(ctx, append(former, root)); err != nil {
			a.log.Warn("remember where topics are published", "err", err)
		}
	}
	return former, nil
}

// forgetRoot is told that nothing of ours is retained under a former root.
func (a *agent) forgetRoot(ctx context.Context, gone string) {
	ctx = context.WithoutCancel(ctx)
	roots, err := a.store.Roots(ctx)
	if err == nil {
		err = a.store.SetRoots(ctx, slices.DeleteFunc(roots, func(r string) bool { return r == gone }))
	}
	if err != nil {
		a.log.Warn("forget where topics were published", "err", err)
		return
	}
	a.log.Info("what was retained under a former base topic or gateway id is gone", "root", gone)
}

// setBack is told that the broker has seen events of our epoch that the store
// does not know: it was replaced by an older copy. Numbers would be given
// twice, so what is not published yet gets a new epoch.
func (a *agent) setBack(ctx context.Context, seq int64) error {
	a.log.Error("the store is older than what the broker has seen of it; it goes on under a new epoch", "broker_seq", seq, "store_seq", a.store.Seq())
	a.own.happened(ownStoreDamaged, fmt.Sprintf("the broker has seen events up to %d, the store knows %d: it was set back to an older copy", seq, a.store.Seq()))
	var failed error
	err := a.loop.Do(ctx, func(time.Time, *diagnose.Engine) diagnose.Outcome {
		failed = a.store.Rebase(ctx) // between two turns, so that none is numbered meanwhile
		return diagnose.Outcome{}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("begin a new epoch: %w", err)
	}
	a.renote()
	return nil
}

// adopt gives the engine what the broker retains of a device and a damaged
// store lost. That is of use once, at the first connect: what ended since must
// not come back.
func (a *agent) adopt(ctx context.Context, device string, body []byte) bool {
	if r := a.store.Opened(); !r.Lossy() || a.adopted.Load() {
		return false
	}
	var s diagnose.SnapshotJSON
	if json.Unmarshal(body, &s) != nil || s.Schema != diagnose.Schema || string(s.Device) != device {
		return false
	}
	err := a.loop.Do(ctx, func(now time.Time, e *diagnose.Engine) diagnose.Outcome { return e.Adopt(now, s) })
	if err != nil {
		a.log.Warn("take over what the broker retains of a device", "device", device, "err", err)
		return false
	}
	return true
}

// shelf is the store as page and command line see it: while nothing can be
// stored, the site's snapshot is the one that says so.
type shelf struct {
	*store.Store
	agent *agent
}

// EachSnapshot calls f for the site, then for each device.
func (s shelf) EachSnapshot(ctx context.Context, f func(diagnose.Snapshot) error) error {
	return s.Store.EachSnapshot(ctx, func(snap diagnose.Snapshot) error {
		if snap.Device == "" {
			snap = s.Site()
		}
		return f(snap)
	})
}

// Snapshot is one device's, or the site's for the empty id.
func (s shelf) Snapshot(ctx context.Context, id string) (diagnose.Snapshot, bool, error) {
	if id == "" {
		return s.Site(), true, nil
	}
	return s.Store.Snapshot(ctx, id)
}

// Site is the site's snapshot.
func (s shelf) Site() diagnose.Snapshot {
	if f := s.agent.failed.Load(); f != nil {
		if site := f.site.Load(); site != nil {
			return *site
		}
	}
	return s.Store.Site()
}
