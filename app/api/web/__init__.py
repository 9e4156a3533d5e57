"""The web page, the API page and the guide."""
