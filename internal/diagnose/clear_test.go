package diagnose

import "testing"

func TestClearBySignal(t *testing.T) {
	play(t, `
	00:00:00 lamp -7     -> raised session-expired id=id-1
	00:00:01 lamp -4     -> raised not-supported id=id-2
	00:00:02 lamp -9     -> raised device-reset; changed session-expired
	00:00:03 lamp online ->                                      # proves nothing about codes
	00:00:04 lamp resting ->
	00:00:05 lamp ok     -> cleared session-expired by=signal id=id-1 lastok=00:00:05 cleared=00:00:05 status=cleared; cleared not-supported
	00:00:06 lamp ok     ->
	00:00:07 show lamp   -> failed re-pair; device-reset; not-supported; session-expired
	00:15:05 show lamp   -> failed re-pair; device-reset
	00:15:06 lamp -7     -> raised session-expired id=id-4 occ=2 lastok=00:00:05`)
}

// A different code clears nothing, unless its rule says that it supersedes.
func TestSupersede(t *testing.T) {
	play(t, `
	00:00:00 lamp -4000 -> raised network-timeout
	00:00:01 lamp -7    -> raised session-expired
	00:00:02 lamp -9    -> cleared network-timeout by=superseded; raised device-reset; changed session-expired
	00:00:03 lamp -4000 -> raised network-timeout occ=2
	00:00:04 lamp -9    -> cleared network-timeout by=superseded occ=2
	00:00:05 plug -9    -> raised device-reset
	00:00:06 plug -4000 -> raised network-timeout                # the older does not hold back the newer
	00:01:00 lamp lost  ->
	00:01:01 lamp -9    ->                                       # what was held back goes without a word
	00:05:06 tick       -> changed network-timeout status=confirmed dev=plug
	00:10:00 tick       ->`)
}

func TestClearByQuiet(t *testing.T) {
	play(t, `
	00:00:00 lamp -10  -> raised device-busy
	00:19:59 lamp -10  ->
	00:39:59 tick      -> cleared device-busy by=quiet reports=2 lastok=null
	00:54:58 show lamp -> ok none; device-busy
	00:54:59 show lamp -> ok none
	00:55:00 lamp -10  -> raised device-busy occ=2 flapping=no
	00:55:01 lamp ok   -> cleared device-busy by=signal
	03:00:00 tick      ->
	03:00:00 plug -10  -> raised device-busy
	03:00:01 plug -7   -> raised session-expired action=re-pair
	03:20:00 tick      -> cleared device-busy; changed session-expired action=re-authenticate`)
}

func TestClearByHand(t *testing.T) {
	play(t, `
	00:00:00 lamp -9                    -> raised device-reset
	00:00:01 lamp ok                    ->
	99:00:00 tick                       ->                      # nothing but a person ends it
	99:00:01 resolve lamp device-reset  -> cleared device-reset by=manual
	99:00:02 resolve lamp device-reset  -> error is not open
	99:00:03 lamp -9                    -> raised device-reset occ=2`)
}

// The third opening within half an hour is told once, as flapping.
func TestFlapping(t *testing.T) {
	play(t, `
	00:00:00 lamp -7 -> raised session-expired flapping=no
	00:01:05 lamp ok -> cleared session-expired
	00:02:10 lamp -7 -> raised session-expired occ=2 flapping=no
	00:03:15 lamp ok -> cleared session-expired
	00:04:20 lamp -7 -> raised session-expired occ=3 flapping=5@00:00:00 status=suspected
	00:05:25 lamp ok ->
	00:06:30 lamp -7 ->
	00:06:31 lamp -7 ->
	00:07:35 lamp ok ->
	00:07:36 lamp ok ->
	00:08:40 lamp -7 msg=paired ->
	00:09:45 show lamp -> attention re-pair; session-expired flapping=9@00:00:00 reports=4 lastok=00:07:36 status=suspected
	00:18:40 tick    ->                                          # the last word is a fault
	00:19:00 lamp ok ->
	00:19:00 tick    -> cleared session-expired by=quiet lastok=00:19:00 flapping=10@00:00:00 # ten minutes since the fault have passed
	00:19:30 lamp -7 -> raised session-expired occ=4 flapping=no # a new story`)
}

func TestFlappingEndsTenMinutesAfterTheLastFault(t *testing.T) {
	play(t, `
	00:00:00 lamp -4 -> raised not-supported
	00:00:01 lamp ok -> cleared not-supported
	00:15:00 lamp -4 -> raised not-supported
	00:15:01 lamp ok -> cleared not-supported
	00:30:00 lamp -4 -> raised not-supported flapping=5@00:00:00  # half an hour, not more
	00:30:01 lamp -4 ->
	00:30:02 lamp ok ->
	00:40:01 tick    -> cleared not-supported by=quiet`)
}

func TestSlowOpeningsAreNoFlapping(t *testing.T) {
	play(t, `
	00:00:00 lamp -4 -> raised not-supported
	00:00:01 lamp ok -> cleared not-supported
	00:15:00 lamp -4 -> raised not-supported
	00:15:01 lamp ok -> cleared not-supported
	00:30:01 lamp -4 -> raised not-supported flapping=no`)
}

// A rule without flapping tells every opening.
func TestFlappingSwitchedOff(t *testing.T) {
	play(t, `
	00:00:00 lamp -4013 -> raised dns-failed
	00:00:01 lamp ok    -> cleared dns-failed
	00:00:02 lamp -4013 -> raised dns-failed
	00:00:03 lamp ok    -> cleared dns-failed
	00:00:04 lamp -4013 -> raised dns-failed flapping=no
	00:00:05 lamp ok    -> cleared dns-failed
	00:00:06 lamp -4013 -> raised dns-failed flapping=no occ=4 causes=resolver:likely,clock:possible`)
}

// An availability condition is told when it lasted.
func TestHold(t *testing.T) {
	play(t, `
	00:00:00 lamp lost   ->
	00:00:30 lamp lost   ->
	00:01:00 show lamp   -> ok none
	00:02:00 tick        -> raised device-lost first=00:00:00 reports=2 code=null status=suspected action=check-power
	00:02:01 lamp lost   ->
	00:02:02 lamp ok     ->                                     # a code proves nothing about it
	00:02:03 lamp online -> cleared device-lost by=signal
	00:20:00 lamp lost   ->
	00:21:59 lamp online ->
	00:40:00 tick        ->
	00:40:00 show lamp   -> ok none`)
}

// What drops off every 65 seconds never lasts, and is told all the same: once.
func TestHeldBackFlapping(t *testing.T) {
	play(t, `
	00:00:00 lamp lost   ->
	00:01:05 lamp online ->
	00:02:10 lamp lost   ->
	00:03:15 lamp online ->
	00:04:20 lamp lost   -> raised device-lost flapping=5@00:00:00
	00:05:25 lamp online ->
	00:06:30 lamp lost   ->
	00:07:35 lamp online ->
	00:16:30 tick        -> cleared device-lost by=quiet`)
}
