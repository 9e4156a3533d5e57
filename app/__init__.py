"""Tarmac: where image tarballs land.

The map, from the inside out. A package imports only packages above it in this list; names on one line do not
know each other (held by import-linter).

    errors, threads           the one exception tree, every class with its stable code; the threads of the process
    oci                       the words of image-spec and distribution-spec: digest, descriptor, manifest, reference
    archive registry spool    tar bytes -> Archive; the five verbs against a destination; bytes that outlive a crash
    push                      Archive + destination -> PushPlan -> Events
    jobs                      a push that is stored, queued, watched, cancelled and tried again
    api                       HTTP in front of jobs
    destinations, main        the composition root: which adapters there are
    cli, __main__             the command line

`oci archive registry spool push` are a library: they run without FastAPI and without a database.
"""

__version__ = "0.1.0"
