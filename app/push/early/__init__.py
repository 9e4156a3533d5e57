"""Pushing blobs while their archive is being received."""
