"""What learners said of teaching cases.

Revision: 0008, after 0007.
"""

from alembic import op
import sqlalchemy as sa

from storage import dialect

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('blind_reads',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('case_key', sa.Text(), nullable=False),
    sa.Column('cells', sa.JSON(), nullable=False),
    sa.Column('reference', sa.JSON(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_blind_reads_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_blind_reads')),
    sa.UniqueConstraint('user_id', 'case_key', name=op.f('uq_blind_reads_user_id_case_key')),
    sqlite_autoincrement=True
    )
    for statement in dialect.append_only(op.get_context().dialect.name, 'blind_reads'):
        op.execute(statement)


def downgrade() -> None:
    for statement in dialect.changeable(op.get_context().dialect.name, 'blind_reads'):
        op.execute(statement)
    op.drop_table('blind_reads')
