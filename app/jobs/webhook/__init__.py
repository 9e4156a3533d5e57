"""The webhook: posts a message for each ended job, at least once, signed, with retries for a day.

delivery  attempts and their retries
outbox    the durable outbox
signing   Standard Webhooks signatures
"""

from app.jobs.webhook.delivery import Webhook, WebhookSettings, run_webhook
from app.jobs.webhook.outbox import Outbox
from app.jobs.webhook.signing import sign

__all__ = ["Outbox", "Webhook", "WebhookSettings", "run_webhook", "sign"]
