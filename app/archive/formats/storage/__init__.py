"""The storage tree of a registry."""
