"""Tar bytes -> TarIndex."""
