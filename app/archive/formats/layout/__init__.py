"""The parts of an OCI image layout reader.

agreement         contradictions resolved by manifest.json
images            index.json entries -> images
index_as_image    index.json itself as the image index
leading_names     names at the head of an archive
names             embedded names of a layout
tagged_referrers  artifacts tied to an image by a tag
"""
