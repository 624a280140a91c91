"""Progress of long work."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with the position reached and the last one, or with other work done and to do."""
