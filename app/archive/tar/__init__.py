"""Tar bytes -> TarIndex.

header   512-byte headers, PAX and GNU extensions
index    TarIndex: names -> extents, links resolved
indexer  TarIndexer (push parser) and index_file()
"""
