"""Hardened outbound HTTP, shared by registries, webhooks and OpenID Connect.

addresses           which addresses are public; pure
backoff             RetryPolicy, clock, delays with jitter
cancellation        finish or cancel a request
certificate_advice  why a certificate is not accepted, and what to do
client              HTTP client: redirects, limits, time-outs, error mapping over httpx
connection          httpcore network backend that reads early responses
dial                resolve, check and connect (Happy Eyeballs, no DNS rebinding)
egress              EgressPolicy: addresses that a registry may send us to
exchange_errors     which error an exchange without a response is
import_guards       modules that httpx and httpcore would import for nothing
proxies             HTTP(S)_PROXY, ALL_PROXY, NO_PROXY
response            Response
response_head       where the head of a response ends; pure
retry_observer      report to a job that its requests fail, wait or succeed
same_site           token services of the registry's own site; pure
tls                 client TLS contexts, certs.d, client certificates
transport           httpx transport over our sockets
urls                Origin, RegistryUrl, Location, Range, Retry-After
warnings            Warning: 299 headers, collected per job
"""

from app.net import import_guards as _import_guards  # noqa: F401 - before any module here imports httpx
