"""What every test shares: with TUSI_TYPECHECK=1 each shape annotation of tusi is checked at run time."""

import os

if os.environ.get("TUSI_TYPECHECK"):
    from jaxtyping import install_import_hook

    install_import_hook("tusi", "beartype.beartype")
