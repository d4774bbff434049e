"""Numbers of studies, series, sessions, questions and answers are never given twice, so that nothing kept can come to mean another's.

Revision: 0003, after 0002. PostgreSQL's sequences do so already.
"""

from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

TABLES = ('studies', 'series', 'sessions', 'turns', 'answer_versions')


def upgrade() -> None:
    _rebuilt(True)


def downgrade() -> None:
    _rebuilt(False)


def _rebuilt(once: bool) -> None:
    if op.get_context().dialect.name != 'sqlite':
        return
    for table in TABLES:
        with op.batch_alter_table(table, recreate='always', table_kwargs={'sqlite_autoincrement': once}):
            pass
