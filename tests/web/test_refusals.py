"""From errors to status codes: each has one, and 500 is none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from entrada import errors
from entrada.errors import EntradaError, EntraRefused, EntraUnavailable, Fixer
from entrada.web.refusals import status_of


def refused(error: str) -> EntraRefused:
    return EntraRefused("x", hint="y", fixer=Fixer.PERSON, error=error, aadsts=None)


SAMPLES: dict[type[EntradaError], Callable[[], EntradaError]] = {
    errors.ConfigurationError: lambda: errors.ConfigurationError("x", hint="y"),
    errors.DiscoveryRefused: lambda: errors.DiscoveryRefused("x", hint="y"),
    errors.EntraRefused: lambda: refused("invalid_grant"),
    errors.TooManyAttempts: lambda: errors.TooManyAttempts(attempts=3, reason="x"),
    errors.TokenRefused: lambda: errors.TokenRefused("iss", "x"),
    errors.BearerTokenRefused: lambda: errors.BearerTokenRefused("aud", "x"),
    errors.EntraUnavailable: lambda: EntraUnavailable(reason="x"),
    errors.BrokerUnavailable: lambda: errors.BrokerUnavailable(reason="x"),
}
STATUS = {
    errors.EntradaError: 400,
    errors.ConfigurationError: 503,
    errors.DiscoveryRefused: 503,
    errors.SignInError: 400,
    errors.ResponseRefused: 400,
    errors.StateMissing: 400,
    errors.SignInExpired: 400,
    errors.SignInAlreadyUsed: 400,
    errors.EntraRefused: 400,
    errors.TooManyAttempts: 429,
    errors.TokenRefused: 400,
    errors.AdmissionRefused: 403,
    errors.AccountDisabled: 403,
    errors.GuestRefused: 403,
    errors.PersonalAccountRefused: 403,
    errors.TenantRefused: 403,
    errors.RoleRequired: 403,
    errors.ClosedToEverybody: 403,
    errors.GroupRequired: 403,
    errors.GroupsUnknown: 403,
    errors.ApiTokenError: 403,
    errors.ApiTokenRefused: 403,
    errors.InteractionRequired: 401,
    errors.RequestRefused: 403,
    errors.AdministrationRefused: 403,
    errors.LastAdministrator: 403,
    errors.InstallationRefused: 403,
    errors.PageNotFound: 404,
    errors.TooManyRequests: 429,
    errors.BearerError: 401,
    errors.BearerRequestRefused: 400,
    errors.BearerTokenRefused: 401,
    errors.InsufficientScope: 403,
    errors.InsufficientClaims: 401,
    errors.AmbiguousRequest: 400,
    errors.ForwardAuthRefused: 403,
    errors.InstallationRefused: 403,
    errors.AddressTooLong: 414,
    errors.IdentityAlreadyLinked: 400,
    errors.Unavailable: 503,
    errors.EntraUnavailable: 503,
    errors.BrokerUnavailable: 503,
    errors.StoreUnavailable: 503,
    errors.UpstreamUnavailable: 502,
    errors.UpstreamNotTrusted: 502,
}


def every_error(parent: type[EntradaError] = EntradaError) -> Iterator[type[EntradaError]]:
    yield parent
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from every_error(child)


@pytest.mark.parametrize("kind", list(every_error()))
def test_every_error_of_the_tree_has_its_status_and_none_is_500(kind: type[EntradaError]) -> None:
    """Each error answers with the status that stands here; an error nobody entered fails."""
    assert status_of(SAMPLES.get(kind, kind)()) == STATUS[kind]
    assert STATUS[kind] != 500


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("access_denied", 403),
        ("temporarily_unavailable", 503),
        ("server_error", 502),
        ("invalid_client", 400),
        ("unheard_of", 400),
        ("", 400),
    ],
)
def test_an_error_of_entra_goes_by_its_oauth_code(error: str, status: int) -> None:
    """The OAuth `error` decides, never the AADSTS number."""
    assert status_of(refused(error)) == status


def test_an_answer_that_cannot_be_used_is_a_bad_gateway() -> None:
    """Entra answering nonsense is 502; Entra not answering is 503."""
    assert status_of(EntraUnavailable(reason="x", answered=True)) == 502
    assert status_of(EntraUnavailable(reason="x")) == 503


def test_an_error_of_a_later_version_is_no_500() -> None:
    """A new kind of error that nobody has mapped yet still has a status below 500."""

    class Later(EntradaError):
        code = "later"

    assert status_of(Later()) == 400
