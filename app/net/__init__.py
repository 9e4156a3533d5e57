"""Hardened outbound HTTP, shared by registries, webhooks and OpenID Connect."""
