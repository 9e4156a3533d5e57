"""Packaged Helm charts."""
