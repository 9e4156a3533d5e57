"""Configs, layers, manifests and indexes of an archive; pure.

descendants            manifests below an index; replace a root
image_config           the parts of a config that a container runtime reads
index_rewriting        an image index whose manifests have changed
layer_types            media types of layers and their compression
media_type_conversion  manifests between OCI and Docker media types
"""
