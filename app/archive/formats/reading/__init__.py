"""Code that the readers of several formats share.

addressed_members  members that are content-addressed blobs
inner_archive      an archive inside an archive, read in place
inner_hint         members that are archives of images
manifest_graph     read and verify every reachable manifest
reader             ArchiveReader: documents and extents by member name
runnable           problems that a container runtime would report
total_size         limits over all images of an archive
union              several archives in one
"""
