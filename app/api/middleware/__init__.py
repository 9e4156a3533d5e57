"""Layers around the routes, each pure ASGI.

request_id   the id of each request, in its response and its log lines
proxy        what a trusted proxy says of the client, and the path that the service is seen below
cors         pages of other origins that may read responses
"""
