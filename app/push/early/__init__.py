"""Push of blobs while their archive is being received.

early_push  EarlyPush
pending     PendingBlobs: uploaded, not committed
targets     the repository before the plan exists
"""
