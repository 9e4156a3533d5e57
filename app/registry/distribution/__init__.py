"""The distribution-spec over HTTP.

classification   outage or rejection: the decision table; pure
digest_headers   digests in response headers
endpoints        URLs, scopes, cleanup of upload sessions
hints            advice for rejections; pure
manifest_lock    one manifest at a time per repository
manifest_push    requests that store manifests
probe            reachability and capabilities, for `check` and GET /registries
push_right       may the account push to a repository?
rate_limit       RequestThrottle: concurrency, rates, Retry-After
registry         HttpRegistry
responses        error documents -> RegistryError
rights           rejected credentials, or a missing right
session          ping, scheme fallback, requests with authorization
settings         HttpRegistrySettings
"""
