"""Metrics, bootstrap intervals and trivial probes."""
