"""Configs, layers, manifests and indexes of an archive; pure."""
