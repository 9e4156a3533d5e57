"""The image store: an OCI image layout on disk as a registry."""
