"""The image store: an OCI image layout on disk as a registry.

adoption          entries of older versions and other tools
files             atomic blobs and index.json on disk
index             index.json as repositories and tags
registry          LayoutRegistry
repository_blobs  the blobs of each repository
"""
