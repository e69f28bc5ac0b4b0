"""From settings to the parts of the walk that a product needs.

A product brings its own users (`AdmissionStore`), its own database for `SpentSignIns`, and its own address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from entrada.accounts.admission import AdmissionPolicy
from entrada.accounts.roles import RoleMapping
from entrada.build.auth_routes import warn_of
from entrada.build.identification import admission_of, build_identification
from entrada.build.stores import SEALED_SIGN_IN, secret_keys_of, shared_key_missing
from entrada.clock import Clock, SystemClock
from entrada.entra.pooled_transport import PooledTransport
from entrada.entra.transport import HttpTransport
from entrada.flows.identification import Identification, SpentSignIns
from entrada.sealing import Sealer
from entrada.settings import FoundValues, Settings
from entrada.web.ending import Ending
from entrada.web.pages import Pages
from entrada.web.pending_cookies import PendingCookies
from entrada.web.refusals import RefusalPages
from entrada.web.sign_in import WebSignIn
from entrada.web.site import Site


@dataclass(frozen=True, kw_only=True)
class ProductParts:
    """Everything the walk needs in front of a product's own users.

    `sign_in_sealer` seals what is stored of a sign-in for asking Entra again.
    """

    identification: Identification
    admission: AdmissionPolicy
    site: Site
    pages: Pages
    pending: PendingCookies
    sign_in_sealer: Sealer = field(repr=False)
    secret_keys: Sequence[bytes] = field(repr=False)
    """For sealers of the product's own; the first seals, all open."""
    recheck_every: timedelta
    delta_every: timedelta | None
    session_absolute: timedelta
    entra_only: bool
    """Nobody signs in but through Entra, except those whom the product is told of as `break_glass`."""
    clock: Clock
    transport: HttpTransport
    close: Callable[[], None]

    @cached_property
    def refusals(self) -> RefusalPages:
        return RefusalPages(site=self.site, pages=self.pages, clock=self.clock)

    def web_sign_in(self, ending: Ending) -> WebSignIn:
        """The one walk over HTTP, with the product's ending."""
        return WebSignIn(
            identification=self.identification,
            site=self.site,
            pending=self.pending,
            refusals=self.refusals,
            ending=ending,
        )


def build_parts(
    settings: Settings,
    found: FoundValues,
    *,
    application_name: str,
    urls: Sequence[str],
    callback_paths: Sequence[str],
    sign_in_page: str = "/",
    base_path: str = "",
    spent: SpentSignIns,
    key_file: Path | None,
    roles: RoleMapping | None = None,
    clock: Clock | None = None,
) -> ProductParts:
    """The parts these settings describe. Warns of everything that begins with `insecure`.

    `urls` are the product's own addresses, the public one first, and `sign_in_page` the path of its own.
    `base_path` is the prefix that browsers find it under; paths stand without it.
    `key_file` is where a key is stored if none is set, None where several servers must be given the same one.

    Raises:
        ConfigurationError: a needed setting is missing, or one cannot be carried out.
    """
    with found.names.in_errors():
        if key_file is None and settings.secret_keys is None:
            raise shared_key_missing()
        roles = roles or settings.roles
        clock = clock or SystemClock()
        admission = admission_of(settings, roles)
        warn_of(settings, found.names)
        keys = secret_keys_of(settings, key_file=key_file)
        transport = PooledTransport(ca_bundle=settings.ca_bundle)
        identification = build_identification(
            settings, roles=roles, spent=spent, transport=transport, clock=clock, base_path=base_path
        )
        pending_sealer = Sealer(keys, purpose="pending sign-in")
    return ProductParts(
        identification=identification,
        admission=admission,
        site=Site(urls=urls, callback_paths=callback_paths, base_path=base_path, sign_in_page=sign_in_page),
        pages=Pages(application_name=settings.application_name or application_name, names=found.names),
        pending=PendingCookies(
            sealer=pending_sealer,
            cross_site=settings.response_mode == "form_post",
            life=settings.sign_in_life,
        ),
        sign_in_sealer=Sealer(keys, purpose=SEALED_SIGN_IN),
        secret_keys=keys,
        recheck_every=settings.recheck_every,
        delta_every=settings.delta_every,
        session_absolute=settings.session_absolute,
        entra_only=settings.entra_only,
        clock=clock,
        transport=transport,
        close=transport.close,
    )
