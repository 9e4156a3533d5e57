"""Registries around registries: retry, redaction, verification, fencing."""
