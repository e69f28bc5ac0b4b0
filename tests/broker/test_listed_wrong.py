"""Each field of the operator's list, wrong in each way: the file, the line, and how to write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrada.broker.listed import read_listed
from entrada.broker.start import build_broker
from entrada.cli import main
from entrada.errors import ConfigurationError
from entrada.settings import load_settings

TENANT = "11111111-1111-4111-8111-111111111111"
GOOD = {
    "url": '"https://app.example.test"',
    "client_id": '"app"',
    "tenant": f'"{TENANT}"',
    "redirect_uris": '["https://app.example.test/back"]',
    "origin_pattern": '"https://*.previews.example.test"',
    "post_logout_redirect_uris": '["https://app.example.test/"]',
    "backchannel_logout_uri": '"https://app.example.test/hear"',
    "secret_sha256": f'["{"0" * 64}"]',
    "claims": '["name", "email"]',
    "groups": '["dddddddd-0000-4000-8000-000000000001"]',
    "roles_claim": '"user_roles"',
    "insecure_without_pkce": "true",
}
NO_TEXT = ("1", "1.5", "true", "[]", '["x"]', "{}", '""', "2026-11-27")
NO_TEXTS = ("1", "true", '"x"', '""', "[]", "[1]", '[""]', "{}", '["x", 1]', '[["x"]]')
NO_ADDRESS = (
    '"http://app.example.test/back"',
    '"app.example.test"',
    '"https://"',
    '"https://user@app.example.test/"',
    '"https://app.example.test/#x"',
    '"https://app.example.test/ x"',
    '"https://app.example.test:x/"',
    '"javascript:alert(1)"',
    '"https://app.example.test\\\\x"',
    '"https://äpp.example.test/"',
)
WRONG = {
    "url": (
        *NO_TEXT,
        '"app.example.test"',
        '"http://app.example.test"',
        '"https://a.test/?x=1"',
        '"ftp://a.test"',
    ),
    "client_id": (*NO_TEXT, r'"a\nb"', r'"a\u0000"', '"äpp"', f'"{"a" * 3000}"'),
    "tenant": (*NO_TEXT, '"contoso.onmicrosoft.com"', '"organizations"', '"1111"', f'"{TENANT}1"'),
    "redirect_uris": (*NO_TEXTS, *(f"[{one}]" for one in NO_ADDRESS)),
    "origin_pattern": (
        *NO_TEXT,
        '"*"',
        '"https://*"',
        '"https://*.test"',
        '"https://*.*.example.test"',
        '"http://*.previews.example.test"',
        '"https://*.previews.example.test/path"',
        '"https://a*.previews.example.test"',
    ),
    "post_logout_redirect_uris": (*NO_TEXTS, *(f"[{one}]" for one in NO_ADDRESS)),
    "backchannel_logout_uri": (*NO_TEXT, *NO_ADDRESS),
    "secret_sha256": (*NO_TEXTS, '["0"]', f'["{"g" * 64}"]', f'["{"0" * 65}"]', '["a plain secret"]'),
    "claims": (*NO_TEXTS, '["upn"]', '["name", "password"]'),
    "groups": (*NO_TEXTS, '["Editors"]', '["dddddddd-0000-4000-8000-00000000000"]'),
    "roles_claim": (*NO_TEXT, '"sub"', '"Roles"', '"a-b"', '"aud"'),
    "insecure_without_pkce": ("1", '"yes"', "[]", "{}"),
}
CASES = [(field, value) for field, values in WRONG.items() for value in values]


def test_the_good_list_is_read_and_every_field_is_tried(tmp_path: Path) -> None:
    """So that each failure below is about its one wrong value."""
    written(tmp_path, GOOD)
    (one,) = read_listed(tmp_path / "entrada.toml")
    assert one.client_id == "app"
    assert WRONG.keys() == GOOD.keys()


@pytest.mark.parametrize(("field", "value"), CASES, ids=[f"{field}={value[:40]}" for field, value in CASES])
def test_a_wrong_field_is_named_with_its_line(field: str, value: str, tmp_path: Path) -> None:
    """One sentence that names file, line and field or value, and a hint; never anything else."""
    line = written(tmp_path, {**GOOD, field: value})
    with pytest.raises(ConfigurationError) as refused:
        read_listed(tmp_path / "entrada.toml")
    said = refused.value
    assert f"entrada.toml, line {line}:" in said.sentence, said.sentence
    assert field.removesuffix("s") in said.sentence
    assert len(said.hint) > 10
    assert "\n" not in said.sentence + said.hint


@pytest.mark.parametrize("missing", ["tenant", "url"])
def test_what_is_missing_is_named_with_the_line_of_its_table(missing: str, tmp_path: Path) -> None:
    """A tenant always; a public URL where nothing else names the client and its addresses."""
    kept = {"url": GOOD["url"], "tenant": GOOD["tenant"]}
    del kept[missing]
    written(tmp_path, kept)
    with pytest.raises(ConfigurationError, match=rf"entrada.toml, line 3: The installation has no {missing}"):
        read_listed(tmp_path / "entrada.toml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[installations]\nx = 1\n", "installations is no list of tables"),
        ('installations = "x"\n', "installations is no list of tables"),
        ("[[installations]]\nurl = \n", "entrada.toml"),
        (f'[[installations]]\nuri = "x"\ntenant = "{TENANT}"\n', "line 2: uri means nothing here"),
    ],
    ids=["a table", "a text", "no TOML", "a field that does not exist"],
)
def test_a_list_of_another_shape(
    text: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At the command line too: one sentence, status 1, no traceback."""
    (tmp_path / "entrada.toml").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENTRADA_DATABASE_URL", f"sqlite:///{tmp_path}/broker.db")
    assert main(["broker", "installations", "list"]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def test_an_installation_for_a_tenant_that_may_not_sign_in_stops_the_start(tmp_path: Path) -> None:
    """Otherwise nobody could sign in there, and nothing would say why."""
    written(tmp_path, {"url": GOOD["url"], "tenant": GOOD["tenant"]})
    settings, found = load_settings(
        {
            "ENTRADA_PUBLIC_URL": "https://login.example.test",
            "ENTRADA_TENANT_ID": "organizations",
            "ENTRADA_ALLOWED_TENANTS": "22222222-2222-4222-8222-222222222222",
            "ENTRADA_CLIENT_ID": "b0000000-0000-4000-8000-000000000001",
            "ENTRADA_CLIENT_SECRET": "aB8~Q.abcdefghijklmnopqrstuvwxyz0123456",
            "ENTRADA_DATABASE_URL": f"sqlite:///{tmp_path}/broker.db",
        }
    )
    with pytest.raises(
        ConfigurationError, match=r"'https://app\.example\.test' is for the tenant 1111"
    ) as no:
        build_broker(settings, found, listed=read_listed(tmp_path / "entrada.toml"))
    assert "ENTRADA_ALLOWED_TENANTS" in no.value.hint


def written(folder: Path, fields: dict[str, str]) -> int:
    """Writes the list; the line of its wrong field, or of the table."""
    lines = ["# The installations", "", "[[installations]]"]
    wrong = 3
    for name, value in fields.items():
        lines.append(f"{name} = {value}")
        if GOOD[name] != value:
            wrong = len(lines)
    (folder / "entrada.toml").write_text("\n".join(lines) + "\n", "utf-8")
    return wrong
