"""What expires, and by which age.

disk_usage     what the service takes of the disk
idle           what was left alone for long enough
service_age    how long the service has run
stored_images  images of the store
sweeping       files that dead replicas left
"""
