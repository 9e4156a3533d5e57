"""Events, progress, and the reports of inspection and dry runs.

events          events of a running push
evidence        signatures, SBOMs and attestations of an image
inspection      the report of inspection and dry runs
progress        Progress, folded from events
transfer_sizes  bytes each image needs, shared blobs counted once
"""
