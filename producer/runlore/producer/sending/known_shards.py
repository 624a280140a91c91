"""The shards that a relay knows of: of its own project, and of those whose events ended processes left behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from runlore.producer.sending.source import Source
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard

if TYPE_CHECKING:
    from runlore.producer.outboxes.claims import Claims
    from runlore.producer.sending.delivery import Delivery


class KnownShards:
    """A relay sends to one shard: that of its project, or the given one."""

    def __init__(self, settings: Settings, given: Shard | None) -> None:
        self._project, self._given = settings.project, given
        self.of_projects: dict[str, int] = {}
        self.elsewhere: set[int] = set()
        """Other shards that orphans are for, which this relay leaves alone."""

    async def choose(self, delivery: Delivery, own: Source | None) -> Shard:
        """Have a connection send to the relay's shard, looked up unless it is known. Raises DeliveryError."""
        if own is not None and own.shard is not None:
            self.of_projects[self._project] = own.shard.number
        await self._look_up(delivery, [self._project])
        shard = self._given or Shard(self.of_projects[self._project])
        if own is not None and own.book is not None:
            own.book.shard = shard.number
        delivery.use_shard(shard)
        return shard

    async def learn(self, delivery: Delivery, claims: Claims) -> bool:
        """Look up what stood in the way of adopting outboxes; True if that may be tried again. Raises DeliveryError."""
        self.elsewhere |= claims.elsewhere
        unknown, claims.unknown = claims.unknown, set()
        await self._look_up(delivery, unknown)
        return bool(unknown)

    async def _look_up(self, delivery: Delivery, projects: Iterable[str]) -> None:
        for project in projects:
            if project not in self.of_projects:
                self.of_projects[project] = (await delivery.find_shard(project)).number
