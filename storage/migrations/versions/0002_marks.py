"""Marks, measurements and layout of a session; overridden warnings with their reasons.

Revision: 0002, after 0001.
"""

from alembic import op
import sqlalchemy as sa

from storage import dialect

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('session_states',
    sa.Column('session_id', sa.Integer(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('document', sa.JSON(), nullable=False),
    sa.Column('updated', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['session_id'], ['sessions.id'], name=op.f('fk_session_states_session_id_sessions')),
    sa.PrimaryKeyConstraint('session_id', name=op.f('pk_session_states'))
    )
    op.create_table('overrides',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('series', sa.JSON(), nullable=False),
    sa.Column('codes', sa.JSON(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_overrides_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_overrides')),
    sqlite_autoincrement=True
    )
    op.create_index(op.f('ix_overrides_user_id'), 'overrides', ['user_id'], unique=False)
    for statement in dialect.append_only(op.get_context().dialect.name, 'overrides'):
        op.execute(statement)


def downgrade() -> None:
    for statement in dialect.changeable(op.get_context().dialect.name, 'overrides'):
        op.execute(statement)
    op.drop_table('overrides')
    op.drop_table('session_states')
