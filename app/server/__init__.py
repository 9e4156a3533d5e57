"""The uvicorn process: protocol, socket, TLS, connections and memory."""
