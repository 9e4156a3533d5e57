"""The watched folder: files in it become jobs, and are moved with a report when their job has ended.

continued   files of any name that are one archive
checksum_lists  SHA256SUMS and *.sha256
content      archives by their first bytes
disks        one delivery and report per disk
filing      move to done/ and failed/, through no link
folder      scan the folder, side files of an archive
stability   files that have not changed for a while
unfinished  files that are still written or end early
watcher     FolderWatch: from a dropped file to its report
"""

from app.jobs.watch.folder import Folder
from app.jobs.watch.watcher import FolderWatch, run_watcher

__all__ = ["Folder", "FolderWatch", "run_watcher"]
