"""The storage tree of a registry.

kubekey  artifacts of KubeKey 4
parts    several tars that contain one storage
tree     repositories, tags and blobs of a storage
"""
