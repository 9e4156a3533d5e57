"""Registries of vendors as scripted fakes: `vendor` is the base, every other module one vendor (`kinds` and `pushing`
are of the tests). Each states in `sources` what was read, as its row in app/docs/registries.md does."""

from tests.registry.vendors.acr import Acr
from tests.registry.vendors.artifactory import Artifactory
from tests.registry.vendors.docker_hub import DockerHub
from tests.registry.vendors.ecr import Ecr
from tests.registry.vendors.gar import Gar
from tests.registry.vendors.ghcr import Ghcr
from tests.registry.vendors.gitea import Forgejo, Gitea
from tests.registry.vendors.gitlab import GitLab
from tests.registry.vendors.harbor import Harbor
from tests.registry.vendors.nexus import Nexus
from tests.registry.vendors.quay import Quay
from tests.registry.vendors.vendor import Vendor
from tests.registry.vendors.zot import Zot

VENDORS: tuple[type[Vendor], ...] = (
    Harbor,
    GitLab,
    Artifactory,
    Nexus,
    Quay,
    Gitea,
    Forgejo,
    Zot,
    Ecr,
    Acr,
    Gar,
    Ghcr,
    DockerHub,
)
