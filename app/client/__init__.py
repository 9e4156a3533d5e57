"""Client of a Tarmac service: resumable uploads and waiting for jobs, used by `tarmac send`.

resume_file  addresses of unfinished uploads, kept between runs
server       requests to a service, with retries
upload       one archive, sent resumably
"""
