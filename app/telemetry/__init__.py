"""Logs, metrics and traces.

job_log  log lines for jobs and outages
logging  structlog set-up
metrics  Prometheus metrics
tracing  OpenTelemetry spans of ended jobs
"""
