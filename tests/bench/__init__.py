"""Measurements. Nothing here is a test: a figure is printed and read, never asserted (see RESULTS.md)."""
