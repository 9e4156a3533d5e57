"""Settings from a TOML file and the environment.

settings  the Settings model, loading from TOML and environment
types     value types: sizes, durations, lists, URLs, files
"""
