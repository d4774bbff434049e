"""Marks and clinical context that went with a question; a reader's own wordings of questions.

Revision: 0004, after 0003.
"""

from alembic import op
import sqlalchemy as sa

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('turns', sa.Column('marks', sa.JSON(), nullable=False, server_default=sa.text("'[]'")))
    op.add_column('turns', sa.Column('clinical', sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
    op.create_table('reader_templates',
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('ability', sa.Text(), nullable=False),
    sa.Column('texts', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_reader_templates_user_id_users')),
    sa.PrimaryKeyConstraint('user_id', 'ability', name=op.f('pk_reader_templates'))
    )


def downgrade() -> None:
    op.drop_table('reader_templates')
    op.drop_column('turns', 'clinical')
    op.drop_column('turns', 'marks')
