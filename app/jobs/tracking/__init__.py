"""The current state of jobs, and who follows it."""
