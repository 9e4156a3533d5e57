"""Archives on the server: paths, patterns, split files.

continued_files  files of any name that are one archive
glob             globs with bounded work
openat2          open_beneath(): RESOLVE_BENEATH
paths            path patterns below the allowed roots
server_archives  compressed server files -> plain tars
split_files      parts of a split archive -> one file
"""
