"""Signature policies and keys.

policy       cosign signature policies
public_keys  key parsing and verification
"""
