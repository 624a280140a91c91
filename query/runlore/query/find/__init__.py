"""Filters: their grammar, their tree, and the SQL that finds what fits. `docs/filters.md` has the language."""
