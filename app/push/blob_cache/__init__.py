"""Which blob a plain layer became, and where it was seen."""
