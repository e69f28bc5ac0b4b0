"""Settings that a program gives by name: the same checks, and errors that name the argument."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, get_type_hints

import pytest

from entrada import Entrada
from entrada.entra.clouds import CLOUDS
from entrada.errors import ConfigurationError
from entrada.settings import Settings, SettingValues, check_values, given_values
from entrada.settings.explicit import NOT_FOR_APPLICATIONS

TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa"
SECRET = "s3cret~of.the_application-value"
GOOD: SettingValues = {
    "public_url": "https://app.contoso.test",
    "tenant_id": TENANT,
    "client_id": CLIENT,
    "client_secret": SECRET,
    "database_url": "memory:",
}


def settings_of(**changes: Any) -> Settings:
    return check_values(given_values({**GOOD, **changes}))


def test_every_setting_is_an_argument_or_said_to_be_none() -> None:
    """A new setting has to be put into one of the two lists."""
    arguments = SettingValues.__annotations__.keys()
    assert arguments | NOT_FOR_APPLICATIONS == Settings.model_fields.keys()
    assert not arguments & NOT_FOR_APPLICATIONS


def test_an_application_of_values_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment nor a file is looked at: what is not given has its default."""
    monkeypatch.setenv("ENTRADA_TENANT_ID", "fabrikam.test")
    monkeypatch.setenv("ENTRADA_APPLICATION_NAME", "Another")
    entrada = Entrada.from_values(**GOOD, roles_mapping={"Files.Edit": "Editor"})
    application = entrada.auth.relying_party.sign_in.application
    assert (application.client_id, application.authority.tenant) == (CLIENT, TENANT)
    assert list(entrada.auth.site.urls) == ["https://app.contoso.test"]
    entrada.close()


def test_two_in_one_process_know_nothing_of_each_other() -> None:
    """Each has its own registration, addresses and sessions."""
    one = Entrada.from_values(**GOOD)
    other_values: SettingValues = {
        **GOOD,
        "client_id": "77777777-7777-8888-9999-aaaaaaaaaaaa",
        "public_url": "https://other.contoso.test",
    }
    other = Entrada.from_values(**other_values)
    assert one.auth.relying_party.sign_in.application.client_id == CLIENT
    assert other.auth.relying_party.sign_in.application.client_id != CLIENT
    assert one.auth.form_key != other.auth.form_key
    one.close()
    other.close()


@pytest.mark.parametrize(
    ("name", "as_text", "as_python"),
    [
        ("session_idle", "30m", timedelta(minutes=30)),
        ("bearer_scopes", "a,b", ["a", "b"]),
        ("guests", TENANT, [TENANT]),
        ("roles_mapping", '{"a": "B"}', {"a": "B"}),
        ("roles_required", "true", True),
        ("client_id", CLIENT.upper(), CLIENT),
    ],
)
def test_text_and_pythons_own_values_mean_the_same(name: str, as_text: str, as_python: Any) -> None:
    """What a variable holds as text may be given as it is."""
    assert getattr(settings_of(**{name: as_text}), name) == getattr(settings_of(**{name: as_python}), name)


@pytest.mark.parametrize("nothing", [None, ""])
def test_none_and_empty_are_not_given(nothing: Any) -> None:
    """As with variables that a container system sets for what was left blank."""
    with pytest.raises(ConfigurationError, match="client_secret=") as refused:
        Entrada.from_values(**{**GOOD, "client_secret": nothing})
    assert "ENTRADA_" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client_id": None}, "client_id="),
        ({"tenant_id": None}, "tenant_id="),
        ({"client_id": "not-a-guid"}, "client_id= cannot be used"),
        ({"client_id": CLIENT + "\u200b"}, "client_id= cannot be used"),
        ({"client_id": SECRET, "client_secret": CLIENT}, "client_id= and client_secret= hold each other's"),
        ({"tenant_id": CLIENT}, "tenant_id= is the same GUID as client_id="),
        ({"tenant_id": "common"}, "allowed_tenants="),
        ({"session_idle": 5}, "session_idle= cannot be used"),
        ({"session_idle": timedelta(0)}, "session_idle= cannot be used"),
        ({"session_idle": timedelta(days=9)}, "session_idle= is longer than session_absolute="),
        ({"roles_mapping": ["Editor"]}, "roles_mapping= cannot be used"),
        ({"roles_mapping": {"a": "A\x00"}}, "roles_mapping= cannot be used: 'A\\x00' is no name of a role"),
        ({"roles_mapping": '{"a": "A", "a": "B"}'}, "roles_mapping= cannot be used: this is naming a member"),
        ({"default_role": "x" * 256}, "default_role= cannot be used"),
        ({"roles_required": "perhaps"}, "roles_required= cannot be used: write true or false"),
        ({"response_mode": "fragment"}, "response_mode= cannot be used"),
        ({"public_url": "http://app.contoso.test"}, "public_url= holds"),
        ({"public_url": "app.contoso.test"}, "public_url= cannot be used"),
        ({"database_url": "mysql://root@db/entrada"}, "database_url="),
        ({"secret_keys": "short"}, "secret_keys="),
        ({"authority_host": "https://evil.test"}, "authority_host="),
        ({"ca_bundle": 7}, "ca_bundle= cannot be used"),
        ({"clientid": CLIENT}, "Did you mean client_id=?"),
        ({"metrics_address": "127.0.0.1:9464"}, "metrics_address= is nothing an application can be given"),
        ({"ENTRADA_CLIENT_ID": CLIENT}, "ENTRADA_CLIENT_ID= is nothing an application can be given"),
    ],
)
def test_what_is_wrong_is_told_of_the_argument(changes: dict[str, Any], said: str) -> None:
    """Sentence and hint in the program's own words; never a variable, never the secret."""
    with pytest.raises(ConfigurationError) as refused:
        Entrada.from_values(**{**GOOD, **changes})  # type: ignore[typeddict-item]  # wrong on purpose
    told = str(refused.value)
    assert said in told
    assert "$[" not in told
    assert SECRET not in told
    assert "ENTRADA_" not in told.replace("ENTRADA_CLIENT_ID=", "")


def test_secrets_stand_in_no_repr_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Neither of the values, nor of what is made of them."""
    key = "0123456789abcdefghijklmnopqrstuvwxyz"
    values: SettingValues = {**GOOD, "secret_keys": key}
    with caplog.at_level(logging.DEBUG):
        entrada = Entrada.from_values(**values)
    found = given_values(values)
    shown = [entrada, entrada.auth, found, check_values(found), caplog.text]
    assert not any(hidden in repr(one) for one in shown for hidden in (SECRET, key))
    entrada.close()


def test_the_clouds_that_can_be_named_are_all_there_are() -> None:
    """The type says what the setting takes."""
    named = str(get_type_hints(SettingValues)["cloud"])
    assert all(repr(name) in named for name in CLOUDS)
