"""Hardened outbound HTTP, shared by registries, webhooks and OpenID Connect.

addresses           classification of addresses as public or internal; pure
backoff             RetryPolicy, clock, delays with jitter
cancellation        finish or cancel a request
certificate_advice  why a certificate is rejected, and what to do
client              HTTP client: redirects, limits, timeouts, error mapping over httpx
connection          httpcore network backend that reads early responses
dial                resolve, check and connect (Happy Eyeballs, no DNS rebinding)
egress              EgressPolicy: addresses that a registry may send us to
exchange_errors     errors of exchanges that end without a response
import_guards       block unused imports of httpx and httpcore
proxies             HTTP(S)_PROXY, ALL_PROXY, NO_PROXY
response            Response
response_head       find the end of a response and of its head; pure
retry_observer      report failed, repeated and successful requests to a job
same_site           token services of the registry's own site; pure
tls                 client TLS contexts, certs.d, client certificates
transport           httpx transport over our sockets
urls                Origin, RegistryUrl, Location, Range, Retry-After
warnings            Warning: 299 headers, collected per job
"""

from app.net import import_guards as _import_guards  # noqa: F401 - must run before any module here imports httpx
