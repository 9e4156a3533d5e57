"""Archives on the server: paths, patterns, split files."""
