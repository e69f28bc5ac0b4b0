"""From settings to parts: the only place that chooses implementations.

    stores          where accounts, sessions and keys are stored
    identification  the walk to Entra and back, and who is let in
    relying_party   the walks over stores of our own
    auth_routes     the sign-in pages of `entrada serve` and of an application's own
    product         what a product with its own users needs: Mage, dstack

Everything that can be wrong about settings together with files and databases is found here, before the first
visitor is. Entra itself is not asked: a start must not depend on it.
"""

from entrada.build.auth_routes import build_auth_routes, callback_paths_of, warn_of
from entrada.build.identification import admission_of, build_identification
from entrada.build.product import ProductParts, build_parts
from entrada.build.relying_party import build_relying_party, session_policy_of
from entrada.build.stores import Stores, open_stores, secret_keys_of

__all__ = [
    "ProductParts",
    "Stores",
    "admission_of",
    "build_auth_routes",
    "build_identification",
    "build_parts",
    "build_relying_party",
    "callback_paths_of",
    "open_stores",
    "secret_keys_of",
    "session_policy_of",
    "warn_of",
]
