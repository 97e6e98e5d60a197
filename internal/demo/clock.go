package demo

import "time"

const logDays = 365

// A clock spreads the logs over the year: much happens in working hours, little
// at night and on weekends.
type clock struct {
	start time.Time
	ends  []float64 // by hour of the year, the share of all that happened by its end
	hour  int
}

func newClock(end time.Time) *clock {
	c := &clock{start: end.AddDate(0, 0, -logDays), ends: make([]float64, logDays*24)}
	var sum float64
	for i := range c.ends {
		at := c.start.Add(time.Duration(i) * time.Hour)
		weight := 1.0
		switch hour := at.Hour(); {
		case hour >= 8 && hour < 18:
			weight = 12
		case hour >= 6 && hour < 22:
			weight = 4
		}
		if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
			weight /= 4
		}
		sum += weight
		c.ends[i] = sum
	}
	for i := range c.ends {
		c.ends[i] /= sum
	}
	return c
}

// at is when the share f of all has happened, 0 ≤ f < 1. It is asked with an f
// that does not fall by more than an hour's share.
func (c *clock) at(f float64) time.Time {
	for c.hour < len(c.ends)-1 && c.ends[c.hour] <= f {
		c.hour++
	}
	var before float64
	if c.hour > 0 {
		before = c.ends[c.hour-1]
	}
	within := (f - before) / (c.ends[c.hour] - before)
	// PostgreSQL keeps microseconds; the end itself is not reached.
	within = min(max(within, 0), 1-1e-9)
	return c.start.Add(time.Duration((float64(c.hour) + within) * float64(time.Hour))).Truncate(time.Microsecond)
}
