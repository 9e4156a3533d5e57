"""Which blob a plain layer became, and where it was seen.

cache   BlobInfoCache port and what a plan asks of it
sqlite  SqliteBlobInfoCache
"""
