"""The container image, built and run as those do who deploy it: `make container-test`, as root on Debian.

Base images come from registries that may not be reached where this runs. Stand-ins take their names, made of Debian's
packages: what is built on them and run beside them is what deploy/ and docker-compose.yml say.
"""
