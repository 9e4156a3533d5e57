"""The current state of jobs, and subscriptions to it.

feed            the changes of all jobs, for one reader
live_job        a job that this process receives or runs
notifications   port: changes that other replicas make
retry_reporter  retries to a registry, shown in the job
subscription    the newest state for one watcher
tracker         JobTracker: current state, durable transitions
waiting_for     what a job waits for during an outage
"""
