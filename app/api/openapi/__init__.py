"""What OpenAPI has to know beyond the routes.

distribution  /v2/
document      finishes FastAPI's document
push          operations that read their own body
uploads       /uploads
"""
