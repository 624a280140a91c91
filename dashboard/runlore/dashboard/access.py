"""Access of a visitor: to all projects, or to some."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from starlette.requests import Request
from starlette.types import Scope

_KEY = "runlore.access"


def _always() -> bool:
    return True


class Access(NamedTuple):
    """The access of one request."""

    projects: tuple[str, ...] | None = None
    """None for all."""
    session: bool = False
    """True for a browser that has signed in, and can sign out."""
    holds: Callable[[], bool] = _always
    """Whether it still does: a token expires or is revoked, and a session ends, while a page listens."""

    @property
    def whole(self) -> bool:
        """True for who sees all projects, and what belongs to none."""
        return self.projects is None

    def sees(self, project: str) -> bool:
        """Return whether a project is shown."""
        return self.projects is None or project in self.projects

    def seen(self, projects: Iterable[str]) -> list[str]:
        """Return those of some projects that are shown."""
        return [project for project in projects if self.sees(project)]


def give_access(scope: Scope, access: Access) -> None:
    """Note the access of a request, for whoever answers it."""
    scope[_KEY] = access


def access_of(request: Request) -> Access:
    """Return the access of a request that the guard has let pass."""
    access: Access = request.scope[_KEY]
    return access
