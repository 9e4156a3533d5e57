"""Telling another service that a job has ended: at least once, signed, tried again for a day.

signature  who sent it, and when; pure     outbox   what is still to be told, on disk     delivery   telling it
"""

from app.jobs.webhook.delivery import Webhook, WebhookSettings, run_webhook
from app.jobs.webhook.outbox import Outbox
from app.jobs.webhook.signing import sign

__all__ = ["Outbox", "Webhook", "WebhookSettings", "run_webhook", "sign"]
