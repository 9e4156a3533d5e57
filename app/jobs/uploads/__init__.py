"""Archives in the body of a request.

early_pushes     early pushes of uploads in progress
index_memory     memory of the indexes of archives that are being received
kept_plans       plans of uploads, kept until their jobs run
replayed_upload  an upload with a known idempotency key
streamed_upload  StreamedUpload: form and raw bodies
"""
