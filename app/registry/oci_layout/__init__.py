"""The image store: an OCI image layout on disk as a registry.

adoption          entries of older versions and other tools
catalog           what the store has, with sizes
collection        delete what is expired, and what nothing refers to
disk              locks and errors of files
documents         JSON documents of the store
entry             IndexRoot: one entry of index.json
export            LayoutTar: a part of the store as an archive
files             atomic blobs and index.json on disk
image_store       ImageStore: list, delete, prune
index             index.json as repositories and tags
manifest_cache    what manifests refer to
manifest_check    checks of pushed manifests
reachability      which entries are kept, which tags expire
registry          LayoutRegistry
repository_blobs  the blobs of each repository
served            ServedLayout: pull and delete at /v2/
uses              what pushes and pulls under way need
"""
