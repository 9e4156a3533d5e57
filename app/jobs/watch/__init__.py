"""The watched folder: what is put into it becomes a job, and is put away with a report when the job has ended.

folder       what lies there, and where it goes     settling   what of it is complete
unfinished   what is still being written            watcher    from drop to report
"""

from app.jobs.watch.folder import Folder
from app.jobs.watch.watcher import FolderWatch, run_watcher

__all__ = ["Folder", "FolderWatch", "run_watcher"]
