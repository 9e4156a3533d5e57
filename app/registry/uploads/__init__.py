"""Blob uploads to a registry: methods, sessions, resumption."""
