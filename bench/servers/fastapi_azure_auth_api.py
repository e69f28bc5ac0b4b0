"""FastAPI with fastapi-azure-auth, as its documentation has it: one endpoint that asks for a scope."""

from __future__ import annotations

import os

import uvicorn
from fastapi import FastAPI, Security
from fastapi_azure_auth.auth import AzureAuthorizationCodeBearerBase

SCOPE = "access_as_user"
client_id = os.environ["BENCH_CLIENT_ID"]
azure = AzureAuthorizationCodeBearerBase(
    app_client_id=client_id,
    tenant_id=os.environ["BENCH_AUTHORITY"].rpartition("/")[2],
    scopes={f"api://{client_id}/{SCOPE}": SCOPE},
    openid_config_url=os.environ["BENCH_AUTHORITY"] + "/v2.0/.well-known/openid-configuration",
)
app = FastAPI()


@app.get("/asked", dependencies=[Security(azure, scopes=[SCOPE])])
async def asked() -> dict[str, bool]:
    return {"let in": True}


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), log_level="warning", access_log=False
    )
