"""Logs, metrics and traces.

logging  structlog set-up
metrics  Prometheus metrics
tracing  OpenTelemetry spans of ended jobs
"""
