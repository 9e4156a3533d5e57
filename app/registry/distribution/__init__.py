"""The distribution-spec over HTTP.

classification   outage or refusal: the decision table; pure
digest_headers   digests in response headers
endpoints        URLs, scopes, clean-up of upload sessions
hints            what to do about a refusal; pure
manifest_lock    one manifest at a time per repository
manifest_push    requests that store manifests
probe            reachability and capabilities, for `check` and GET /registries
push_right       may the account push to a repository?
rate_limit       RequestThrottle: concurrency, rates, Retry-After
registry         HttpRegistry
responses        error documents -> RegistryError
rights           credentials refused, or a right missing
session          ping, scheme fallback, requests with authorization
settings         HttpRegistrySettings
"""
