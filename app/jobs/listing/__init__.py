"""Which jobs a list has, and a page of them.

filters      JobFilters: what a caller asks for
pages        a page of jobs, bounded in bytes and in work
search_text  the text of a job that a search reads; pure
"""

from app.jobs.listing.filters import JobFilters

__all__ = ["JobFilters"]
