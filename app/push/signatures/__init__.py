"""Signature policies and keys.

attestations  layers verified and recognised as attestations
policy        cosign signature policies
public_keys   key parsing and verification
"""
