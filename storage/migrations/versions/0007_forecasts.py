"""What answers foretold, and what came of it.

Revision: 0007, after 0006.
"""

from alembic import op
import sqlalchemy as sa

from storage import dialect

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

TABLES = ('forecasts', 'forecast_outcomes')


def upgrade() -> None:
    op.create_table('forecasts',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('version_id', sa.Integer(), nullable=False),
    sa.Column('series_id', sa.Integer(), nullable=False),
    sa.Column('horizon', sa.Text(), nullable=False),
    sa.Column('days', sa.Integer(), nullable=True),
    sa.Column('shares', sa.JSON(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['version_id'], ['answer_versions.id'], name=op.f('fk_forecasts_version_id_answer_versions')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_forecasts')),
    sa.UniqueConstraint('version_id', name=op.f('uq_forecasts_version_id')),
    sqlite_autoincrement=True
    )
    op.create_index(op.f('ix_forecasts_series_id'), 'forecasts', ['series_id'], unique=False)
    op.create_table('forecast_outcomes',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('forecast_id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('came', sa.Text(), nullable=False),
    sa.Column('comment', sa.Text(), nullable=False),
    sa.Column('days', sa.Integer(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['forecast_id'], ['forecasts.id'], name=op.f('fk_forecast_outcomes_forecast_id_forecasts')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_forecast_outcomes_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_forecast_outcomes')),
    sqlite_autoincrement=True
    )
    op.create_index(op.f('ix_forecast_outcomes_forecast_id'), 'forecast_outcomes', ['forecast_id'], unique=False)
    for table in TABLES:
        for statement in dialect.append_only(op.get_context().dialect.name, table):
            op.execute(statement)


def downgrade() -> None:
    for table in reversed(TABLES):
        for statement in dialect.changeable(op.get_context().dialect.name, table):
            op.execute(statement)
        op.drop_table(table)
