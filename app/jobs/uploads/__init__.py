"""Archives that come in the body of a request."""
