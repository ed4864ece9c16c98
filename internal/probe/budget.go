package probe

import (
	"time"

	"golang.org/x/time/rate"
)

// budget is how many checks may start: never more than so many in any minute,
// whoever asks for them. Half of them may start at once, and as many come back
// one by one in a minute: a burst must not leave the rest of it blind.
type budget struct {
	limiter *rate.Limiter
	burst   int
}

// newBudget allows perMinute checks in any minute; at least one.
func newBudget(perMinute int) *budget {
	perMinute = max(1, perMinute)
	burst := (perMinute + 1) / 2
	// A minute that begins with a full burst sees one fewer come back than the
	// rate says: the last comes with the next minute.
	refill := rate.Limit(float64(perMinute-burst+1) / time.Minute.Seconds())
	return &budget{rate.NewLimiter(refill, burst), burst}
}

// take takes what a check costs, or nothing at all and answers false. A check
// that costs more than there can ever be waits for a full budget.
func (b *budget) take(now time.Time, cost int) bool {
	return b.limiter.AllowN(now, min(max(1, cost), b.burst))
}
