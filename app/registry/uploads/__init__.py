"""Blob uploads to a registry: methods, sessions, resumption.

blob_upload       BlobUploader: method fallback, resumption, commit
body              request bodies and ranges of one blob
capabilities      upload methods that a registry supports
capability_file   the same, stored on disk
mount             cross-repository blob mounts
session           an open session and its offset
spare_session     a session that a rejected mount opened
start             POST: begin an upload session
stored_blobs      existence, size and digest of the registry's blobs
transfer          the bytes of one blob into one session
unverified_blobs  blobs whose presence is not proof
"""
