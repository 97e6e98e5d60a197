package rowfence

import "time"

// Metrics is told what an engine does. Its methods are called while a request waits:
// they must be quick, and safe for concurrent use. Package rowfenceprom has an
// implementation for Prometheus.
type Metrics interface {
	// FilterHit is a filter that was there.
	FilterHit(resource string)
	// FilterBound is a filter that was not there: the subject's values were put into a
	// template, which took so long. err is nil when there is one.
	FilterBound(resource string, took time.Duration, err error)
	// TemplateCompiled is a template that was not there. err is nil when there is one.
	TemplateCompiled(resource string, took time.Duration, err error)
	// Decided is so many objects on which the policy was evaluated.
	Decided(resource string, objects int, took time.Duration, err error)
	// Reloaded is a reload of the policies. When err is not nil, those before are kept.
	Reloaded(took time.Duration, err error)
}

// noMetrics are those of an engine that is given none.
type noMetrics struct{}

func (noMetrics) FilterHit(string)                              {}
func (noMetrics) FilterBound(string, time.Duration, error)      {}
func (noMetrics) TemplateCompiled(string, time.Duration, error) {}
func (noMetrics) Decided(string, int, time.Duration, error)     {}
func (noMetrics) Reloaded(time.Duration, error)                 {}
