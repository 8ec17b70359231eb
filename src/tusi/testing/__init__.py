"""Contract checks: what every implementation of an extension point must fulfil, ready for third-party ones."""

from tusi.testing.readers import check_reader

__all__ = ["check_reader"]
