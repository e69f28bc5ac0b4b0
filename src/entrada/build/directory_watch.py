"""From settings to the watch of the directories whose people sign in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from entrada.entra.app_only_token import AppOnlyToken
from entrada.entra.transport import HttpTransport
from entrada.flows.background_watch import BackgroundWatch
from entrada.flows.directory_watch import DirectoryWatch
from entrada.flows.identification import Identification
from entrada.flows.recheck import Due, Recheck
from entrada.flows.tenant_graph import TenantGraph
from entrada.flows.tenant_watch import DirectoryStore, WatchedGroups


def build_directory_watch(
    identification: Identification,
    *,
    store: DirectoryStore[Due],
    recheck: Recheck[Due],
    transport: HttpTransport,
    every: timedelta | None,
    ended: Callable[[], None] = lambda: None,
) -> BackgroundWatch[Due] | None:
    """None where nobody asked for it, and at a broker, whose registration alone may ask Graph."""
    application = identification.application
    if every is None or application.authority.is_broker:
        return None
    graph_url = application.authority.graph_url
    watch = DirectoryWatch(
        graph_of=lambda tenant_id: TenantGraph(
            token=AppOnlyToken(application=application.at_tenant(tenant_id), graph_url=graph_url),
            transport=transport,
            clock=identification.clock,
        ),
        tenants=identification.allowed_tenants,
        store=store,
        groups=WatchedGroups(mapping=identification.roles, besides=identification.groups.besides),
        clock=identification.clock,
        every=every,
    )
    return BackgroundWatch(watch=watch, recheck=recheck, ended=ended)
