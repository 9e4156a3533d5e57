"""The parts of a request: body, options, header fields.

body                 bounded bodies
body_type            archive, form or JSON: by type and first bytes
byte_range           the Range header
content_disposition  file names in Content-Disposition
deliveries           the request of a job with its delivery
delivery_body        the body of POST /deliveries
digest_headers       Content-Digest, Repr-Digest (RFC 9530)
job_filters          the query parameters that select jobs
moments              times in queries
multipart            streaming multipart/form-data
options              options from query, form, JSON
query                unknown query parameters are refused
split_upload         split archives inside a form
upload_headers       headers of tus and of the IETF draft
"""
