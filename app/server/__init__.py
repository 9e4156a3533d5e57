"""The uvicorn process: protocol, socket, TLS, connections and memory.

lingering    a transport that reads on for a moment after a refusal
tls          the server certificate, reloaded when its files change
"""
