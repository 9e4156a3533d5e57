"""Registries around registries: retry, redaction, verification, fencing.

fence       FencedRegistry: lease check before a tag
forwarding  ForwardingRegistry: base of the wrappers
redact      SecretScrubber, RedactingRegistry
retry       RetryingRegistry
verify      VerifyingRegistry: read back what was pushed
"""
