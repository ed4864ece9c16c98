package main

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/mqtt"
	"fieldmedic/internal/store"
)

// metrics are what /metrics tells (contract section 7). No label holds a
// device's id.
type metrics struct {
	registry  *prometheus.Registry
	received  *prometheus.CounterVec
	refused   *prometheus.CounterVec
	dropped   *prometheus.CounterVec
	published *prometheus.CounterVec
	unknown   *prometheus.CounterVec
	commit    prometheus.Histogram
	decision  prometheus.Histogram
	// lost are events that a full outbox gave up.
	lost prometheus.Counter
	open openCount
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fieldmedic_" + name, Help: help}, labels)
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "fieldmedic_" + name, Help: help,
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		})
	}
	m := &metrics{
		registry:  prometheus.NewRegistry(),
		received:  counter("messages_received_total", "Messages received, by source.", "source"),
		refused:   counter("messages_refused_total", "Messages refused, by reason.", "reason"),
		dropped:   counter("messages_dropped_total", "QoS 0 messages that found the inbox full, by source.", "source"),
		published: counter("events_published_total", "Events that the broker acknowledged, by type.", "type"),
		unknown:   counter("unknown_codes_total", "Reports of codes that no rule knows, by family.", "family"),
		commit:    histogram("commit_seconds", "How long a batch took to reach the disk."),
		decision:  histogram("decision_seconds", "From receipt of a message to the acknowledged publish of its event."),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fieldmedic_events_dropped_total", Help: "Events given up unpublished, for the outbox was full.",
		}),
		open: openCount{devices: make(map[diagnose.DeviceID][]openKey), counts: make(map[openKey]int)},
	}
	checks := counter("checks_total", "Checks that ended, by check and verdict.", "check", "verdict")
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "fieldmedic_build_info", Help: "The program's version and its Go; always 1.",
	}, []string{"version", "goversion"})
	build.WithLabelValues(versionText(), runtime.Version()).Set(1)
	for _, reason := range append(mqtt.Refusals(), diagnose.RefusedTooManyDevices, diagnose.RefusedTooManyConditions) {
		m.refused.WithLabelValues(string(reason))
	}
	m.registry.MustRegister(m.received, m.refused, m.dropped, m.published, m.unknown, m.commit, m.decision, m.lost,
		&m.open, checks, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds what is read at the time of asking.
func (m *metrics) watch(s *store.Store, inbound, publishing func() mqtt.LinkStatus) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fieldmedic_" + name, Help: help}, read))
	}
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "fieldmedic_store_lost_events_total", Help: "Events that a damaged store did not give back.",
	}, func() float64 { return float64(s.Opened().LostEvents) }))
	gauge("mqtt_connected", "1 while both connections to the broker stand.", func() float64 {
		if inbound().State == mqtt.LinkConnected && publishing().State == mqtt.LinkConnected {
			return 1
		}
		return 0
	})
	gauge("outbox_events", "Events that wait to be published.", func() float64 {
		return float64(s.Seq() - s.Cursor())
	})
	gauge("outbox_oldest_seconds", "Age of the oldest event that waits to be published; 0 when none does.", func() float64 {
		entries, err := s.After(context.Background(), s.Cursor(), 1)
		if err != nil || len(entries) == 0 {
			return 0
		}
		return max(0, time.Since(entries[0].At).Seconds())
	})
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// openKey are the labels of diagnoses_open.
type openKey struct {
	scope    diagnose.Scope
	severity diagnose.Severity
}

// openCount counts open diagnoses from the snapshots that go by.
type openCount struct {
	mu      sync.Mutex
	devices map[diagnose.DeviceID][]openKey
	counts  map[openKey]int
}

func (o *openCount) update(pub diagnose.Publication) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range pub.Snapshots {
		o.set(&pub.Snapshots[i])
	}
	for _, id := range pub.Removed {
		o.set(&diagnose.Snapshot{Device: diagnose.DeviceID(id)})
	}
}

func (o *openCount) set(s *diagnose.Snapshot) {
	for _, k := range o.devices[s.Device] {
		o.counts[k]--
	}
	var open []openKey
	for i := range s.Diagnoses {
		if d := &s.Diagnoses[i]; d.Open() {
			k := openKey{d.Scope, d.Severity}
			open = append(open, k)
			o.counts[k]++
		}
	}
	if open == nil {
		delete(o.devices, s.Device)
		return
	}
	o.devices[s.Device] = open
}

// Describe and Collect are prometheus.Collector's.
func (o *openCount) Describe(ch chan<- *prometheus.Desc) { ch <- o.desc() }

// Collect tells the present counts.
func (o *openCount) Collect(ch chan<- prometheus.Metric) {
	o.mu.Lock()
	defer o.mu.Unlock()
	desc := o.desc()
	for k, n := range o.counts {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), string(k.scope), string(k.severity))
	}
}

func (o *openCount) desc() *prometheus.Desc {
	return prometheus.NewDesc("fieldmedic_diagnoses_open", "Open diagnoses.", []string{"scope", "severity"}, nil)
}
