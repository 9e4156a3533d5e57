"""Additions to the generated OpenAPI document.

distribution  /v2/
document      finishes FastAPI's document
push          operations that read their own body
uploads       /uploads
"""
