"""Conditional Access as policies: whom and what they concern, and what they demand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emulator.relying_party import CALLBACK, Entra, answered, code_of
from entrada.emulator import EmulatorError, start
from entrada.emulator.control.actions import ControlError
from entrada.emulator.directory.directory_file import DirectoryFileError
from entrada.emulator.remote import RemoteEmulator, RemoteError
from entrada.emulator.seed import CLIENT_ID

ADA, ED, VI = (f"{name}@contoso.test" for name in ("ada", "ed", "vi"))


def _outcome(entra: Entra, who: str, **changes: str) -> int:
    """0 when the person gets a code by a silent sign-in, else the AADSTS number."""
    answer = entra.authorize(login_hint=who, _emulator_approve="1", **changes)
    return 0 if "code=" in answer.headers.get("location", "") else code_of(answer)


def test_a_policy_concerns_whom_and_what_it_names(entra: Entra) -> None:
    """People, nested groups and applications limit a policy; naming none means all; the excluded are free."""
    other = entra.emulator.add_app("Other", web_redirect_uris=[CALLBACK], admin_consented=["User.Read"])
    policy = entra.emulator.add_policy("Blocked", control="block", people=[ED], apps=[CLIENT_ID])
    assert (_outcome(entra, ED), _outcome(entra, VI)) == (53003, 0)
    assert _outcome(entra, ED, client_id=other.client_id) == 0
    entra.emulator.remove_policy("Blocked")
    assert _outcome(entra, ED) == 0
    entra.emulator.add_policy("Staff", control="block", groups=["Contoso Staff"], excluded_people=[ED])
    # Ada is in Staff by way of two other groups.
    assert [_outcome(entra, who) for who in (ADA, ED, VI, "nora@contoso.test")] == [53003, 0, 53003, 0]
    entra.emulator.remove_policy("Staff")
    entra.emulator.add_policy("All", control="block", apps=["Other"])
    assert (_outcome(entra, ADA), _outcome(entra, ADA, client_id=other.client_id)) == (0, 53003)
    assert policy.policy_id


def test_a_second_factor_at_one_application(entra: Entra) -> None:
    """`mfa`: a page for the person, interaction_required in silence, and a token whose challenge names it."""
    token = entra.tokens(ED)["refresh_token"]
    policy = entra.emulator.add_policy("MFA", control="mfa", people=[ED])
    assert 'name="otp"' in entra.authorize().text
    assert answered(entra.authorize(prompt="none"))["error"] == "interaction_required"
    body = entra.token(grant_type="refresh_token", refresh_token=token).json()
    assert body["error_codes"] == [50076]
    assert policy.policy_id in json.loads(body["claims"])["access_token"]["capolids"]["values"]
    # Approving stands for the second factor; what it grants refreshes.
    token = entra.tokens(ED)["refresh_token"]
    assert entra.token(grant_type="refresh_token", refresh_token=token).status_code == 200


def test_a_block_beats_a_second_factor(entra: Entra) -> None:
    """Of two policies for one sign-in the stricter decides, in whatever order they were made."""
    entra.emulator.add_policy("MFA", control="mfa")
    entra.emulator.add_policy("Blocked", control="block", people=[VI])
    assert (_outcome(entra, VI), _outcome(entra, ED)) == (53003, 0)
    assert _outcome(entra, "carla@contoso.test") == 53003


def test_policies_come_change_and_go_by_the_control_api(entra: Entra) -> None:
    """`entra.policy` makes and changes one; it is listed, shown on the page, and removed."""
    remote = RemoteEmulator(entra.emulator.http_url)
    made = remote.policy("Night", control="block", people=[ED], apps=["Entrada (emulated)"])
    assert made["apps"] == [CLIENT_ID]
    assert "Night" in entra.http.get(f"{entra.emulator.http_url}/_emulator/").text
    assert remote.policy("Night", enabled=False)["policy_id"] == made["policy_id"]
    assert _outcome(entra, ED) == 0
    listed = entra.http.get(f"{entra.emulator.http_url}/_emulator/policies").json()
    assert [(one["display_name"], one["enabled"]) for one in listed] == [("Night", False)]
    remote.remove_policy("Night")
    with pytest.raises(RemoteError, match="No policy"):
        remote.remove_policy("Night")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"control": "ask"}, "'block' or 'mfa'"),
        ({"control": "mfa", "people": ["nobody@contoso.test"]}, "nobody@contoso.test"),
        ({"control": "mfa", "groups": ["None"]}, "the group 'None'"),
        ({"control": "mfa", "apps": ["None"]}, "the application 'none'"),
        ({"control": "mfa", "apps": "all"}, "not a list"),
        ({"control": "mfa", "colour": "red"}, "no field 'colour'"),
    ],
)
def test_mistakes_are_explained(entra: Entra, fields: dict[str, object], says: str) -> None:
    """What does not exist, or is no demand, is named in a sentence."""
    with pytest.raises(ControlError, match=says):
        entra.emulator.add_policy("Wrong", **{"control": "mfa", **fields})  # type: ignore[arg-type]


def test_policies_in_the_directory_file(tmp_path: Path) -> None:
    """`[[policies]]` names people, groups and applications by name, and is kept by the state file."""
    file, state = tmp_path / "directory.toml", tmp_path / "state.json"
    file.write_text(
        '[[policies]]\ndisplay_name = "Finance"\ncontrol = "mfa"\ngroups = ["Finance"]\n'
        'people = ["ed@contoso.test"]\napps = ["Entrada (emulated)"]\n',
        "utf-8",
    )
    with start(directory=file, state_file=state) as emulator:
        (policy,) = emulator.directory.policies.values()
        assert policy.people == (emulator.person(ED).object_id,)
        emulator.add_policy("Second", control="block", people=[VI])
    with start(directory=file, state_file=state) as emulator:
        assert [one.display_name for one in emulator.directory.policies.values()] == ["Finance", "Second"]
    file.write_text('[[policies]]\ncontrol = "mfa"\npeople = ["x"]\n', "utf-8")
    with pytest.raises((DirectoryFileError, EmulatorError), match="policy 1"):
        start(directory=file)
