"""From settings to a relying party with stores of its own."""

from __future__ import annotations

from collections.abc import Sequence

from entrada.build.auditing import build_auditing
from entrada.build.directory_watch import build_directory_watch
from entrada.build.identification import admission_of, build_identification
from entrada.build.stores import SEALED_SIGN_IN, SESSION_GRANT, Stores, open_stores, secret_keys_of
from entrada.clock import Clock, SystemClock
from entrada.entra.pooled_transport import PooledTransport
from entrada.flows.background_prune import PRUNE_EVERY
from entrada.flows.background_recheck import BackgroundRecheck
from entrada.flows.leased_job import LeasedJob
from entrada.flows.recheck import Recheck
from entrada.flows.relying_party import RelyingParty
from entrada.flows.role_endings import RoleEndings
from entrada.flows.session_check import SessionCheck
from entrada.flows.session_tokens import SessionTokens
from entrada.flows.sign_in import SignIn
from entrada.flows.sign_out import SignOut
from entrada.sealing import Sealer
from entrada.sessions.session import SessionPolicy
from entrada.settings import Names, Settings


def build_relying_party(
    settings: Settings,
    *,
    names: Names | None = None,
    stores: Stores | None = None,
    clock: Clock | None = None,
    keys: Sequence[bytes] | None = None,
    calls_apis: bool = False,
) -> RelyingParty:
    """The relying party these settings describe. `stores` replaces the configured database, `keys` the
    configured keys. `calls_apis`: a session keeps what other APIs are called with in its person's name.

    `names` are those that errors call settings by.

    Raises:
        ConfigurationError: a needed setting is missing, or one cannot be carried out.
    """
    with (names or Names()).in_errors():
        stores = stores or open_stores(settings.database_url)
        return _build(settings, stores, clock or SystemClock(), keys or secret_keys_of(settings), calls_apis)


def _build(
    settings: Settings, stores: Stores, clock: Clock, keys: Sequence[bytes], calls_apis: bool
) -> RelyingParty:
    roles = settings.roles
    policy, admission = session_policy_of(settings), admission_of(settings, roles)
    transport = PooledTransport(ca_bundle=settings.ca_bundle)
    identification = build_identification(
        settings, roles=roles, spent=stores.sessions, transport=transport, clock=clock
    )
    session_check = SessionCheck(
        accounts=stores.accounts, sessions=stores.sessions, policy=policy, clock=clock
    )
    recheck = BackgroundRecheck(
        recheck=Recheck(
            identification=identification,
            admission=admission,
            store=stores.sealed_sign_ins,
            sealer=Sealer(keys, purpose=SEALED_SIGN_IN),
            every=settings.recheck_every,
            longest_unconfirmed=settings.session_absolute,
        ),
        sealed_sign_ins=stores.sealed_sign_ins,
        session_check=session_check,
    )

    watch = build_directory_watch(
        identification,
        store=stores.directory,
        recheck=recheck.recheck,
        transport=transport,
        every=settings.delta_every,
        ended=session_check.distrust,
    )
    session_tokens = (
        SessionTokens(
            identification=identification,
            grants=stores.sealed_grants,
            sealer=Sealer(keys, purpose=SESSION_GRANT),
            session_check=session_check,
        )
        if calls_apis and not identification.application.authority.is_broker
        else None
    )

    def close() -> None:
        transport.close()
        stores.close()

    return RelyingParty(
        sign_in=SignIn(
            identification=identification,
            accounts=stores.accounts,
            sessions=stores.sessions,
            admission=admission,
            session_policy=policy,
            remember=recheck.remember,
            session_tokens=session_tokens,
        ),
        session_check=session_check,
        sign_out=SignOut(
            application=identification.application, sessions=stores.sessions, session_check=session_check
        ),
        accounts=stores.accounts,
        sessions=stores.sessions,
        clock=clock,
        recheck=recheck,
        listening=None if stores.listening is None else stores.listening(session_check.look),
        pruning=LeasedJob(name="prune", leases=stores.leases, clock=clock, life=2 * PRUNE_EVERY),
        watch=watch,
        session_tokens=session_tokens,
        role_endings=RoleEndings(accounts=stores.accounts, session_check=session_check),
        auditing=build_auditing(settings, stores, clock),
        close=close,
    )


def session_policy_of(settings: Settings) -> SessionPolicy:
    """The limits of sessions. The store hears of requests well within a short idle limit, too."""
    return SessionPolicy(
        idle=settings.session_idle,
        absolute=settings.session_absolute,
        touch_every=min(SessionPolicy.touch_every, settings.session_idle / 4),
    )
