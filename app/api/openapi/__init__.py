"""What OpenAPI has to know beyond the routes."""
