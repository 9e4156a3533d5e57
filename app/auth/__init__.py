"""Callers, roles, quotas and tokens."""
