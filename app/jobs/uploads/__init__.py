"""Archives in the body of a request.

early_pushes     early pushes of uploads in progress
kept_plans       plans of uploads, kept until their jobs run
replayed_upload  an upload with a known idempotency key
streamed_upload  StreamedUpload: form and raw bodies
"""
