"""The web page, the API page and the guide.

api_docs      /docs and /openapi.json
front_page    the web page at /
guide         /docs/guide/: the guide and its search
static_asset  a file of a page, with its headers
"""
