"""The distribution-spec over HTTP."""
