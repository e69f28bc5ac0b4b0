"""The command of an application as `entrada run` starts it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from entrada.cli.running.command import Place, prepare, recognise, title_of, wants_socket
from entrada.cli.running.products import OF_STREAMLIT, PRODUCTS
from entrada.errors import ConfigurationError
from entrada.gateway.fields import strip

PLACE = Place(port=4711, socket=None, public_url="https://tool.contoso.com", secret="made-up")
AT_SOCKET = Place(port=4711, socket=Path("/run/x/app.sock"), public_url="http://localhost:8000", secret="s")


def started(line: str, place: Place = PLACE, **environ: str) -> tuple[str, dict[str, str]]:
    prepared = prepare(shlex.split(line), environ, place)
    return shlex.join(prepared.words), dict(prepared.environment)


@pytest.mark.parametrize(
    ("line", "product"),
    [
        ("streamlit run app.py", "streamlit"),
        ("/opt/venv/bin/streamlit run app.py", "streamlit"),
        ("python -m streamlit run app.py", "streamlit"),
        ("python3.12 -X dev -m chainlit run app.py", "chainlit"),
        ("uv run --with gradio streamlit run app.py", "streamlit"),
        ("poetry run python -m panel serve app.py", "panel"),
        ("marimo edit notebook.py", "marimo"),
        ("gradio app.py", "gradio"),
        ("streamlit --version", None),
        ("panel convert app.py", None),
        ("python app.py", None),
        ("cat streamlit run", None),
    ],
)
def test_products_are_recognised(line: str, product: str | None) -> None:
    """By their own command, by `python -m`, behind uv and its like; not where they start no server."""
    found = recognise(shlex.split(line))
    assert (found and found.product.name) == product


def test_each_is_told_where_to_listen() -> None:
    """Every product of the table is given the port or the socket, by a variable or an option."""
    for product in PRODUCTS:
        subcommand = min(product.subcommands, default="app.py")
        words = [product.name, subcommand]
        place = AT_SOCKET if wants_socket(words) else PLACE
        prepared = prepare(words, {}, place)
        told = [*prepared.words, *prepared.environment.values()]
        assert ("4711" in told) != ("/run/x/app.sock" in told), product.name


def test_options_stand_behind_the_subcommand() -> None:
    """Where the product takes them; what stands behind `--` is the script's own."""
    line, _ = started("marimo run app.py -- --port 3 --token")
    assert line == (
        "marimo run --host 127.0.0.1 --port 4711 --proxy tool.contoso.com --headless --no-token "
        "app.py -- --port 3 --token"
    )


def test_a_word_of_the_persons_own_stays() -> None:
    """An option that they have chosen is not given again, and a variable is left as it is."""
    assert started("marimo run --token app.py")[0].endswith("--headless --token app.py")
    assert "-h --headless" not in started("chainlit run app.py -h")[0]
    _, environment = started("chainlit run app.py", CHAINLIT_AUTH_SECRET="theirs")
    assert environment["CHAINLIT_AUTH_SECRET"] == "theirs"
    assert started("chainlit run app.py")[1]["CHAINLIT_AUTH_SECRET"] == "made-up"


@pytest.mark.parametrize(
    ("line", "environ", "named"),
    [
        ("streamlit run app.py --server.port 8501", {}, "--server.port"),
        ("streamlit run app.py --server.address=0.0.0.0", {}, "--server.address"),
        ("marimo run -p 80 app.py", {}, "-p"),
        ("panel serve app.py --port 5006", {}, "--port"),
        ("panel serve app.py --session-ids unsigned", {}, "--session-ids"),
        ("bokeh serve app.py", {"BOKEH_SIGN_SESSIONS": "no"}, "BOKEH_SIGN_SESSIONS"),
        ("streamlit run app.py", {"STREAMLIT_SERVER_PORT": "8501"}, "STREAMLIT_SERVER_PORT"),
        ("gradio app.py", {"GRADIO_SERVER_NAME": "0.0.0.0"}, "GRADIO_SERVER_NAME"),
    ],
)
def test_another_address_is_a_contradiction(line: str, environ: dict[str, str], named: str) -> None:
    """One sentence that names it; nothing is overridden in silence."""
    with pytest.raises(ConfigurationError) as refused:
        started(line, **environ)
    assert named in refused.value.sentence
    assert named in refused.value.hint


def test_the_same_address_is_none() -> None:
    """Said by a placeholder, or by accident."""
    line, _ = started("streamlit run app.py --server.port {port} --server.address={host}")
    assert line == "streamlit run app.py --server.port 4711 --server.address=127.0.0.1"
    started("streamlit run app.py", STREAMLIT_SERVER_ADDRESS="127.0.0.1")


def test_any_other_command_is_told_by_variables_and_placeholders() -> None:
    """PORT and HOST, whatever they were, and those of every product: `python app.py` may be any of them."""
    line, environment = started("""serve --bind {host}:{port} --json '{"a": 1}'""", PORT="80")
    assert line == """serve --bind 127.0.0.1:4711 --json '{"a": 1}'"""
    assert (environment["HOST"], environment["PORT"]) == ("127.0.0.1", "4711")
    assert environment["GRADIO_SERVER_PORT"] == environment["STREAMLIT_SERVER_PORT"] == "4711"


def test_a_socket_where_one_is_wanted() -> None:
    """`{socket}`, and products that can listen at one; not both."""
    assert wants_socket(shlex.split("gunicorn app:app --bind unix:{socket}"))
    assert started("uvicorn app:app --uds {socket}", AT_SOCKET)[0] == "uvicorn app:app --uds /run/x/app.sock"
    assert wants_socket(["panel", "serve", "app.py"])
    assert not wants_socket(["streamlit", "run", "app.py"])
    with pytest.raises(ConfigurationError, match="both"):
        wants_socket(["x", "{socket}", "{port}"])


def test_our_settings_stay_with_us() -> None:
    """No secret of ours is in the application's environment, nor what systemd handed to us."""
    _, environment = started(
        "streamlit run app.py", ENTRADA_CLIENT_SECRET="s", ENTRADA_SECRET_KEYS="k", LISTEN_FDS="1", HOME="/h"
    )
    assert not [name for name in environment if name.startswith(("ENTRADA_", "LISTEN_"))]
    assert environment["HOME"] == "/h"


def test_what_streamlit_believes_is_what_we_say() -> None:
    """Every field that fills `st.user` is taken from a client's request, in any spelling."""
    trusted = json.loads(started("streamlit run app.py")[1]["STREAMLIT_SERVER_TRUSTED_USER_HEADERS"])
    assert trusted == OF_STREAMLIT
    sent = [(name.encode(), b"ada") for name in trusted]
    sent += [(name.lower().replace(b"-", mark), value) for name, value in sent for mark in (b"-", b"_", b".")]
    assert strip(sent, trusted_hop=True) == []


def test_titles() -> None:
    """What sentences call it."""
    assert title_of(["/x/python", "-m", "streamlit", "run", "a.py"]) == "Streamlit"
    assert title_of(["/x/my-tool"]) == "my-tool"
