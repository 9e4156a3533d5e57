"""Which blob an uncompressed layer became, and the repository in which it was seen.

cache   BlobInfoCache port, and its use by a plan
sqlite  SqliteBlobInfoCache
"""
