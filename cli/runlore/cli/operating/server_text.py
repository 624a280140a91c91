"""The configuration of a nats-server as text: accounts with their users, and the rest of a node."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote

from runlore.cli.operating.roles import (
    Role,
    account,
    archive_subjects,
    operator,
    producer,
    project_account,
    project_reader,
    project_subjects,
    projector,
    query_service,
    query_subjects,
    reader,
    restorer,
    shard_lookup,
)
from runlore.schemas.shards import Shard

_HEAD = """\
# Accounts for Runlore: one with the stream, one for each project. nats-server reads the passwords from its environment;
# begin each with a letter. Whoever signs in sets RUNLORE_INBOX_PREFIX to its own inbox:
"""


class Node(NamedTuple):
    """One server, and the cluster it is in, if any."""

    name: str
    listen: str
    store: str
    cluster: str | None = None
    cluster_listen: str = ""
    routes: Sequence[str] = ()
    route_password: str = ""
    """What the servers of the cluster know each other by."""


def accounts_text(projects: Sequence[str], restore: bool, shard: Shard) -> str:
    """The accounts of these projects and of their shard. `restore`: with a user who may replace the stream."""
    roles = [projector, query_service, reader, operator, *([restorer] if restore else [])]
    service = [role(shard) for role in roles]
    users = [*service, *(role(one, shard) for role in (producer, project_reader) for one in projects)]
    notes = "".join(f"#   {role.user}: {role.inbox}  (password: ${role.password_variable})\n" for role in users)
    accounts = [_runlore(service, projects, shard), *(_tenant(one, shard) for one in projects)]
    return f"{_HEAD}{notes}accounts {{\n{''.join(accounts)}}}\n"


def config_text(node: Node, accounts: str) -> str:
    """The whole configuration of one server."""
    lines = [
        f"server_name: {_quoted(node.name)}",
        f"listen: {_quoted(node.listen)}",
        "# An event may have 1,000,000 bytes; headers and future fields need room above that.",
        "max_payload: 2MB",
        "# Passwords travel in plain text without it:",
        '# tls { cert_file: "/etc/nats/server.pem", key_file: "/etc/nats/server.key", ca_file: "/etc/nats/ca.pem" }',
        "jetstream {",
        f"  store_dir: {_quoted(node.store)}",
        "  # Acknowledge only what is on disk. The default acknowledges up to two minutes before fsync.",
        "  sync_interval: always",
        "}",
    ]
    if node.cluster is not None:
        lines += _cluster(node)
    return "\n".join(lines) + f"\n\n{accounts}"


def _cluster(node: Node) -> list[str]:
    login = f"route:{quote(node.route_password, safe='')}"
    routes = ", ".join(_quoted(f"nats-route://{login}@{route}") for route in node.routes)
    return [
        "cluster {",
        f"  name: {_quoted(node.cluster or '')}",
        f"  listen: {_quoted(node.cluster_listen)}",
        "  # Whoever may open a route reads and writes everything: keep this file to yourself. nats-server replaces no",
        "  # variable within the address of a route, so the password is in it.",
        f"  authorization {{ user: route, password: {_quoted(node.route_password)} }}",
        f"  routes: [{routes}]",
        "}",
    ]


def _runlore(service: Iterable[Role], projects: Sequence[str], shard: Shard) -> str:
    tenants = _listed(map(project_account, projects))
    exports = [
        _export(subject, _listed([project_account(one)]))
        for one in projects
        for subject in (project_subjects(one, shard), shard_lookup(one))
    ]
    exports += [_export(subject, tenants) for subject in archive_subjects(shard)]
    # Large answers come in parts: without the type, the server lets one message pass.
    exports += [
        _export(query_subjects(one, shard), _listed([project_account(one)]), ", response_type: Stream")
        for one in projects
    ]
    return _account(account(shard), "jetstream: enabled", service, "exports", exports)


def _export(subject: str, accounts: str, more: str = "") -> str:
    return f"{{ service: {_quoted(subject)}, accounts: {accounts}{more} }}"


def _tenant(project: str, shard: Shard) -> str:
    subjects = (
        project_subjects(project, shard),
        *archive_subjects(shard),
        query_subjects(project, shard),
        shard_lookup(project),
    )
    imports = [f"{{ service: {{ account: {account(shard)}, subject: {_quoted(subject)} }} }}" for subject in subjects]
    users = [producer(project, shard), project_reader(project, shard)]
    return _account(project_account(project), "", users, "imports", imports)


def _account(name: str, first: str, users: Iterable[Role], shared: str, subjects: Iterable[str]) -> str:
    lines = [f"  {_quoted(name)}: {{", *([f"    {first}"] if first else []), "    users: ["]
    lines += [f"      {_user(role)}," for role in users]
    lines += ["    ]", f"    {shared}: [", *(f"      {one}," for one in subjects), "    ]", "  }"]
    return "\n".join(lines) + "\n"


def _user(role: Role) -> str:
    responds = ', allow_responses: { max: 1000, expires: "2m" }' if role.responds else ""
    return (
        f"{{ user: {_quoted(role.user)}, password: ${role.password_variable}, permissions: {{\n"
        f"          publish: {_listed(role.publish)},\n"
        f"          subscribe: {_listed(role.all_subscribe)}{responds} }} }}"
    )


def _listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _quoted(text: str) -> str:
    return json.dumps(text)
