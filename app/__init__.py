"""Tarmac pushes container image archives to a registry.

The packages, from the inside out. A package imports only packages above it in this list (import-linter checks this).

    errors      the exception tree; each class has a stable code
    threads     the executors of the process
    docs        the pages of the guide
    oci         terms of image-spec and distribution-spec as values
    net         hardened outbound HTTP
    archive     tar bytes -> Archive
    registry    the Registry port and its adapters
    spool       archives on disk or in S3
    push        Archive + destination -> PushPlan -> events
    client      client of a service, for `tarmac send`
    config      settings
    auth        callers, roles, quotas, tokens
    jobs        a push that is stored, queued, watched, cancelled and retried
    telemetry   logs, metrics, traces
    api         HTTP in front of jobs
    server      uvicorn, sockets, TLS
    bootstrap   adapters from settings
    main        the composition root
    cli         the command line; __main__ runs it

`oci net archive registry spool push` are a library: they run without FastAPI and without a database.
"""

__version__ = "0.1.0"
