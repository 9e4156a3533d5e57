"""The composition of adapters from settings, shared by the service and the command line."""
