"""One delivery for each directory at the top of the watched folder, and its report when the disk is processed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence, Set

import structlog

from app.errors import NotFound, Unavailable
from app.jobs.deliveries.model import DeliveryFile, DeliverySummary, ReportRow
from app.jobs.deliveries.report_csv import csv_head, csv_lines
from app.jobs.deliveries.report_html import TAIL, facts_of, html_head, html_rows
from app.jobs.deliveries.service import Deliveries
from app.jobs.watch.folder import Folder, FolderScan

IN_FOLDER = "watched folder"  # name of the delivery of files that are in no directory

_log = structlog.get_logger(__name__)


def disk_of(path: str) -> str:
    """Return the directory at the top that `path` is in; "" if it is in none."""
    top, slash, _ = path.partition("/")
    return top if slash else ""


class DiskReports:
    """A disk is processed if no archive of it is pending for `quiet_seconds`. The next archive begins a delivery."""

    def __init__(self, folder: Folder, deliveries: Deliveries, quiet_seconds: float) -> None:
        self._folder, self._deliveries, self._quiet_seconds = folder, deliveries, quiet_seconds
        self._open: dict[str, str] = {}  # ids of deliveries, by disk
        self._quiet_since: dict[str, float] = {}  # by disk

    async def delivery_of(self, path: str) -> str:
        """Return the id of the delivery of a file. Raises Unavailable."""
        disk = disk_of(path)
        if disk not in self._open:
            self._open[disk] = (await self._deliveries.begin_watched(disk or IN_FOLDER)).id
        return self._open[disk]

    async def look(self, scan: FolderScan, pending: Set[str], now: float) -> None:
        """File the reports of disks that are processed. `pending`: disks with archives that are not."""
        for disk, delivery in tuple(self._open.items()):
            if disk in pending:
                self._quiet_since.pop(disk, None)
            elif now - self._quiet_since.setdefault(disk, now) >= self._quiet_seconds:
                left = [file for file in scan.left if disk_of(file.path) == disk]
                try:
                    await self._close(disk, delivery, left)
                except Unavailable as error:
                    _log.warning("watch.report_delayed", disk=disk, reason=str(error))

    async def _close(self, disk: str, delivery: str, left: Sequence[DeliveryFile]) -> None:
        try:
            if (await self._deliveries.get(delivery)).rows:
                await self._deliveries.add_files(delivery, left)
                await self._file(disk, delivery)
                await self._deliveries.store.close_delivery(delivery)
            else:  # the disk was processed before, and was put in again
                await self._deliveries.store.delete_delivery(delivery)
        except NotFound:
            _log.info("watch.delivery_gone", disk=disk, delivery=delivery)
        del self._open[disk], self._quiet_since[disk]

    async def _file(self, disk: str, delivery: str) -> None:
        summary = await self._deliveries.get(delivery)
        rows = [row async for some in self._deliveries.rows(delivery) for row in some]
        texts = await asyncio.to_thread(_texts, summary, rows)
        try:
            await asyncio.to_thread(self._folder.file_reports, disk, texts)
        except OSError as error:
            _log.warning("watch.report_not_filed", disk=disk, delivery=delivery, reason=error.strerror)
            return
        _log.info("watch.report_filed", disk=disk, delivery=delivery)


def _texts(summary: DeliverySummary, rows: Sequence[ReportRow]) -> dict[str, bytes]:
    """Return the report in each format, by the ending of its file."""
    document = {"delivery": summary.document(), "rows": [row.document() for row in rows]}
    title = f"Delivery {summary.delivery.name}"
    texts = {
        ".delivery.json": json.dumps(document, indent=2, ensure_ascii=False),
        ".delivery.csv": csv_head() + csv_lines(rows),
        ".delivery.html": html_head(title, facts_of(summary)) + html_rows(rows) + TAIL,
    }
    return {ending: text.encode(errors="replace") for ending, text in texts.items()}


__all__ = ["DiskReports", "disk_of"]
