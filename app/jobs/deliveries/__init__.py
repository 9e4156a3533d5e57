"""Deliveries: jobs that came together, and a report that outlives them.

each         the archives of a request, one job each
escaping     text from outside, made safe to display
model        Delivery, Outcome, ReportRow; pure
report_csv   the report as CSV
report_html  the report as a page that prints
retention    deletes old reports
rows         job -> rows of the report; pure
service      Deliveries: one method per user action
store        DeliveryStore port
"""

from app.jobs.deliveries.model import Delivery, DeliveryFile, DeliverySummary, Outcome, ReportRow

__all__ = ["Delivery", "DeliveryFile", "DeliverySummary", "Outcome", "ReportRow"]
