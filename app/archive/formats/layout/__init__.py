"""The parts of an OCI image layout reader."""
