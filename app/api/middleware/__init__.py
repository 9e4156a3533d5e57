"""Layers around the routes, each pure ASGI.

access_log   one line for each response, or for each error
request_id   the id of each request, in its response and its log lines
proxy        the client and base path that a trusted proxy reports
rates        limits of one token or address: requests per second, and long ones at once
cors         origins of pages that may read responses

    allowed_hosts  names that the service answers to
    compression    gzip of JSON responses
    auth           tokens, roles, Origin and Host
    error_format   problems -> errors of registries and of Docker
    limits         header, body-rate and concurrency limits
"""
