"""The storage tree of a registry.

parts  several tars that contain one storage
tree   repositories, tags and blobs of a storage
"""
