"""Values as JSON knows them."""

from runlore.query.plain import plain

__all__ = ["plain"]
