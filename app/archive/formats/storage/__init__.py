"""The storage tree of a registry.

parts  several tars that hold one storage
"""
