//! Counters in the Prometheus text form (exposition format 0.0.4).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in seconds: from a filter's some ten microseconds to a slow upstream.
const BOUNDS: [f64; 12] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        if let Some((_, bucket)) =
            BOUNDS.iter().zip(&self.buckets).find(|(bound, _)| seconds <= **bound)
        {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn write(&self, out: &mut String, name: &str, help: &str) {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut total = 0;
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            total += bucket.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {total}");
        }
        let count = self.count.load(Ordering::Relaxed);
        let sum = self.nanos.load(Ordering::Relaxed) as f64 / 1e9;
        let _ = writeln!(
            out,
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}"
        );
    }
}

/// What the whole gateway counts.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// By the first digit of the status; the first place counts exchanges without an answer.
    pub(super) requests: [AtomicU64; 6],
    pub(super) stopped: AtomicU64,
    pub(super) upstream_failures: AtomicU64,
    pub(super) aborted: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) refused_connections: AtomicU64,
    pub(super) unreadable: AtomicU64,
    pub(super) accept_failures: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) upgraded: AtomicU64,
    pub(super) reloads: AtomicU64,
    pub(super) reload_failures: AtomicU64,
    pub(super) whole: Histogram,
    pub(super) filter: Histogram,
}

pub(super) fn one_more(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    pub(super) fn text(&self, lines_lost: u64, rules: usize) -> String {
        let mut out = String::with_capacity(4_096);
        let name = "smesec_requests_total";
        let _ = writeln!(out, "# HELP {name} exchanges by class of status\n# TYPE {name} counter");
        for (class, counter) in self.requests.iter().enumerate() {
            let class = if class == 0 { "none".to_owned() } else { format!("{class}xx") };
            let _ =
                writeln!(out, "{name}{{status=\"{class}\"}} {}", counter.load(Ordering::Relaxed));
        }
        let mut plain = |kind: &str, name: &str, help: &str, value: u64| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (name, help, counter) in [
            ("smesec_stopped_total", "exchanges that a filter stopped", &self.stopped),
            (
                "smesec_upstream_failures_total",
                "upstreams that did not answer",
                &self.upstream_failures,
            ),
            ("smesec_aborted_total", "exchanges that broke off", &self.aborted),
            ("smesec_connections_total", "connections accepted", &self.connections),
            (
                "smesec_connections_refused_total",
                "connections whose PROXY header or TLS handshake failed",
                &self.refused_connections,
            ),
            (
                "smesec_unreadable_total",
                "requests that are not well formed and were answered with 400",
                &self.unreadable,
            ),
            (
                "smesec_accept_failures_total",
                "failures of the system to accept",
                &self.accept_failures,
            ),
            ("smesec_sent_bytes_total", "bytes of response bodies", &self.bytes_sent),
            (
                "smesec_upgraded_total",
                "connections that became WebSockets or the like",
                &self.upgraded,
            ),
            ("smesec_reloads_total", "reloads that took effect", &self.reloads),
            ("smesec_reload_failures_total", "reloads that were refused", &self.reload_failures),
        ] {
            plain("counter", name, help, load(counter));
        }
        plain("counter", "smesec_log_lines_lost_total", "log lines not written", lines_lost);
        plain("gauge", "smesec_connections_open", "connections now open", load(&self.open));
        plain("gauge", "smesec_rules", "rules in force", rules as u64);
        self.whole.write(
            &mut out,
            "smesec_exchange_seconds",
            "from the request's head to the last byte sent",
        );
        self.filter.write(
            &mut out,
            "smesec_filter_seconds",
            "time that filters took of each exchange",
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_cumulative() {
        let metrics = Metrics::default();
        metrics.filter.observe(Duration::from_micros(90));
        metrics.filter.observe(Duration::from_micros(900));
        metrics.filter.observe(Duration::from_secs(100));
        one_more(&metrics.requests[2]);
        let text = metrics.text(7, 100);
        for line in [
            "smesec_filter_seconds_bucket{le=\"0.0001\"} 1",
            "smesec_filter_seconds_bucket{le=\"0.001\"} 2",
            "smesec_filter_seconds_bucket{le=\"10\"} 2",
            "smesec_filter_seconds_bucket{le=\"+Inf\"} 3",
            "smesec_filter_seconds_count 3",
            "smesec_requests_total{status=\"2xx\"} 1",
            "smesec_log_lines_lost_total 7",
            "smesec_rules 100",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }
}
