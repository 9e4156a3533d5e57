"""Composition of adapters from settings, shared by the service and the command line.

access       token file, OIDC, allowed hosts and TLS from settings
embedded     the image store of the command line
persistence  job store, queue, leases and heartbeat: SQLite or PostgreSQL
registries   RegistrySettings -> Registry with its wrappers
"""
