"""Flask with one view, bare or guarded by Entrada."""

from __future__ import annotations

import os

from flask import Flask

from entrada import Entrada
from entrada.adapters.flask import EntradaFlask, login_required

app = Flask(__name__)


def asked() -> dict[str, bool]:
    return {"let in": True}


if os.environ.get("BENCH_GUARDED"):
    EntradaFlask(Entrada.from_environment()).init_app(app)
    app.get("/page")(login_required(asked))
else:
    app.get("/page")(asked)
