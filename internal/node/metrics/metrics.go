// Package metrics counts what a daemon does and shows it to Prometheus: a
// registry of the daemon's own, interceptors that count its calls, and a page
// that HTTP serves.
//
// It is not the harness's measurement (that looks at clients), it keeps nothing
// between starts, and it has no global state: two nodes of one process count
// apart.
package metrics

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// namespace begins the names of all that is ours.
const namespace = "gfslab"

// Set is one daemon's metrics.
type Set struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	open     prometheus.Gauge
	panics   prometheus.Counter
}

// New returns a set with the process's and the runtime's own metrics, and those of
// calls, which the interceptors fill in.
func New() *Set {
	s := &Set{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: "rpc", Name: "handled_total",
			Help: "Calls that were answered, by method, gRPC status code, and the reply's own result.",
		}, []string{"method", "code", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: "rpc", Name: "duration_seconds",
			Help:    "Time from a call's arrival to its answer, by method and gRPC status code.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18),
		}, []string{"method", "code"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "rpc", Name: "in_progress", Help: "Calls that are being handled.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: "rpc", Name: "panics_total", Help: "Calls whose handler panicked; the log says how.",
		}),
	}
	s.registry.MustRegister(s.calls, s.seconds, s.open, s.panics,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// Handler serves the metrics in Prometheus's formats.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{Registry: s.registry, Timeout: 10 * time.Second, MaxRequestsInFlight: 8})
}

// Panicked counts a handler that panicked.
func (s *Set) Panicked() { s.panics.Inc() }

// Unary counts and times calls. It is a grpc.UnaryServerInterceptor.
func (s *Set) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	done := s.began(info.FullMethod)
	reply, err := next(ctx, req)
	result := ""
	if r, ok := reply.(interface{ GetCode() api.Code }); ok && err == nil {
		result = r.GetCode().String()
	}
	done(err, result)
	return reply, err
}

// Stream is Unary for streams. It is a grpc.StreamServerInterceptor.
func (s *Set) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	done := s.began(info.FullMethod)
	err := next(srv, stream)
	done(err, "")
	return err
}

func (s *Set) began(method string) (done func(err error, result string)) {
	begin := time.Now()
	method = strings.TrimPrefix(method, "/")
	s.open.Inc()
	return func(err error, result string) {
		s.open.Dec()
		code := status.Code(err).String()
		s.calls.WithLabelValues(method, code, result).Inc()
		s.seconds.WithLabelValues(method, code).Observe(time.Since(begin).Seconds())
	}
}
