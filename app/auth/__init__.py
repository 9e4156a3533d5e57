"""Callers, roles, quotas and tokens.

model            Role, Quota, Submitter, Caller; pure
oidc             OpenID Connect bearer tokens
token_file       the tokens file: parse, look up, reload
token_file_edit  the tokens file: add, list, revoke
"""
