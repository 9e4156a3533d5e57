"""Events, progress, and what inspection and dry runs report."""
