"""Layers around the routes, each pure ASGI.

access_log   one line for each response, or for each error
request_id   the id of each request, in its response and its log lines
proxy        what a trusted proxy says of the client, and the path that the service is seen below
rates        how much one token or address may ask: requests in time, and long ones at once
cors         pages of other origins that may read responses

    allowed_hosts  names that the service answers to
    compression    gzip of JSON responses
    auth           tokens, roles, Origin and Host
    error_format   problems -> errors of registries and of Docker
    limits         header, body-rate and concurrency limits
"""
