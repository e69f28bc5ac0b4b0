"""Flask with `identity`, configured as its documentation has it: sessions on the file system."""

from __future__ import annotations

import os
import sys
from typing import Any

from flask import Flask
from identity.flask import Auth

app = Flask(__name__)
app.config.update(SESSION_TYPE="filesystem", SESSION_FILE_DIR=os.environ["BENCH_SESSIONS"])
auth = Auth(
    app,
    authority=os.environ["BENCH_AUTHORITY"],
    client_id=os.environ["BENCH_CLIENT_ID"],
    client_credential=os.environ["BENCH_CLIENT_SECRET"],
    redirect_uri=f"http://localhost:{os.environ['BENCH_PORT']}/auth/entra/callback",
)


@app.route("/start")
@auth.login_required  # type: ignore[untyped-decorator]  # identity is untyped
def start(*, context: dict[str, Any]) -> dict[str, Any]:
    return {"name": context["user"].get("name")}


if __name__ == "__main__":
    sys.exit("run me under a WSGI server")
