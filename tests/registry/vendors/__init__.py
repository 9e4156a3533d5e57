"""Registries of vendors as scripted fakes: `vendor` is the base, every other module one vendor (`kinds` and `pushing`
are of the tests). Each states in `sources` what was read, as its row in app/docs/registries.md does."""

from tests.registry.vendors.harbor import Harbor
from tests.registry.vendors.vendor import Vendor

VENDORS: tuple[type[Vendor], ...] = (Harbor,)
