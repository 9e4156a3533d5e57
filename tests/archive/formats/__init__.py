"""Tests of app.archive.formats."""
