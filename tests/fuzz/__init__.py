"""Mutations for as long as one likes: `make fuzz SECONDS=600`, or `python -m tests.fuzz --seconds 600 tar pax json`.

Each target takes honest and hostile archives of tests/hostile, bends them, and holds that what comes of it is a value
or a TarmacError, that it is cheap, and that it does not depend on how the bytes were cut. Hypothesis draws the
mutations and shrinks what it finds; `.hypothesis` keeps it, so that the next run begins with it. What a run finds
becomes a case of tests/hostile before it is mended.
"""
