// Package rowfenceprom counts and times what an engine does, for Prometheus.
//
//	metrics := rowfenceprom.New()
//	prometheus.MustRegister(metrics)
//	engine, err := rowfence.New(ctx, rowfence.Config{Metrics: metrics, …})
package rowfenceprom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rowfence/rowfence"
)

// Metrics are an engine's metrics, to be registered once:
//
//	rowfence_filters_total{resource, from="cache"|"template", result="ok"|"error"}
//	rowfence_bind_seconds{resource}           from a template and a subject to a filter
//	rowfence_compile_seconds{resource}        from the policy to a template
//	rowfence_compile_errors_total{resource}
//	rowfence_decisions_total{resource, result="ok"|"error"}   objects
//	rowfence_decide_seconds{resource}         a call, of one object or several
//	rowfence_reloads_total{result="ok"|"error"}
//	rowfence_reloaded_timestamp_seconds       the last reload that was taken
type Metrics struct {
	filters       *prometheus.CounterVec
	bind          *prometheus.HistogramVec
	compile       *prometheus.HistogramVec
	compileErrors *prometheus.CounterVec
	decisions     *prometheus.CounterVec
	decide        *prometheus.HistogramVec
	reloads       *prometheus.CounterVec
	reloaded      prometheus.Gauge
}

var (
	_ rowfence.Metrics     = (*Metrics)(nil)
	_ prometheus.Collector = (*Metrics)(nil)
)

// New are metrics that count from zero.
func New() *Metrics {
	const namespace = "rowfence"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	seconds := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(10e-6, 4, 10), // 10 µs to 2.6 s
		}, []string{"resource"})
	}
	return &Metrics{
		filters:       counter("filters_total", "Filters that were asked for.", "resource", "from", "result"),
		bind:          seconds("bind_seconds", "Time from a template and a subject to a filter."),
		compile:       seconds("compile_seconds", "Time from the policy to a template."),
		compileErrors: counter("compile_errors_total", "Templates that could not be made.", "resource"),
		decisions:     counter("decisions_total", "Objects on which the policy was evaluated.", "resource", "result"),
		decide:        seconds("decide_seconds", "Time of the decision on one object or several."),
		reloads:       counter("reloads_total", "Reloads of the policies.", "result"),
		reloaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "reloaded_timestamp_seconds", Help: "When the policies were last reloaded.",
		}),
	}
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.filters, m.bind, m.compile, m.compileErrors, m.decisions, m.decide, m.reloads, m.reloaded}
}

// Describe and Collect make the metrics one collector.
func (m *Metrics) Describe(into chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(into)
	}
}

// Collect is that of a collector.
func (m *Metrics) Collect(into chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(into)
	}
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

// FilterHit counts a filter that was kept.
func (m *Metrics) FilterHit(resource string) {
	m.filters.WithLabelValues(resource, "cache", "ok").Inc()
}

// FilterBound counts and times a filter that was bound.
func (m *Metrics) FilterBound(resource string, took time.Duration, err error) {
	m.filters.WithLabelValues(resource, "template", result(err)).Inc()
	m.bind.WithLabelValues(resource).Observe(took.Seconds())
}

// TemplateCompiled times a template that was compiled.
func (m *Metrics) TemplateCompiled(resource string, took time.Duration, err error) {
	m.compile.WithLabelValues(resource).Observe(took.Seconds())
	if err != nil {
		m.compileErrors.WithLabelValues(resource).Inc()
	}
}

// Decided counts the objects of a decision, and times it.
func (m *Metrics) Decided(resource string, objects int, took time.Duration, err error) {
	m.decisions.WithLabelValues(resource, result(err)).Add(float64(objects))
	m.decide.WithLabelValues(resource).Observe(took.Seconds())
}

// Reloaded counts a reload.
func (m *Metrics) Reloaded(_ time.Duration, err error) {
	m.reloads.WithLabelValues(result(err)).Inc()
	if err == nil {
		m.reloaded.SetToCurrentTime()
	}
}
