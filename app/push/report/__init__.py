"""Events, progress, and what inspection and dry runs report.

events          events of a running push
evidence        signatures, SBOMs and attestations of an image
inspection      what inspection and dry runs report
progress        Progress, folded from events
transfer_sizes  bytes each image needs, shared blobs counted once
"""
