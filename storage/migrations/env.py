"""Alembic's entry: migrate over the connection that `storage.upgrade` holds, or write SQL for a database administrator."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from storage.schema import Base, Moment, Words


def plain(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """New scripts name SQL types, not ours, so that they stay true when ours change."""
    if kind == "type" and isinstance(item, Moment):
        return "sa.DateTime(timezone=True)"
    return "sa.Text()" if kind == "type" and isinstance(item, Words) else False


connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(
        dialect_name=context.config.get_main_option("dialect") or "postgresql", target_metadata=Base.metadata, literal_binds=True
    )
else:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
        transactional_ddl=True,
        render_item=plain,
    )
with context.begin_transaction():
    context.run_migrations()
