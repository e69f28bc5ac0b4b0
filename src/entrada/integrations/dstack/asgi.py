"""dstack's server with sign-in as an ASGI application, for those who run uvicorn themselves.

    uvicorn entrada.integrations.dstack:app --port 3000

Needs no entry in config.yml, so people can sign in from the very first start; one that is there does no harm.
"""

from __future__ import annotations

from entrada.integrations.dstack.hooks import stock_application
from entrada.integrations.dstack.start import register

register()
app = stock_application()
