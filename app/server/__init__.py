"""The uvicorn process: protocol, socket, TLS, connections and memory.

connections  connections counted from their acceptance on
lingering    a transport that reads on for a moment after a refusal
memory       malloc and garbage collection settings
protocol     the HTTP protocol with limits of time and size
socket       the listening socket
tls          the server certificate, reloaded when its files change
unread       responses that clients do not read
"""
