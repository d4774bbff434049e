"""Feedback with error codes, corrections, marks and preferences; the reviewers' queue and decisions; roles.

Revision: 0005, after 0004. What readers said before stands in the queue like anything new
(written out as SQL, this step leaves that to the next statement of each reader).
"""

import json

from alembic import op
import sqlalchemy as sa

from storage import dialect

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

VERDICTS = {True: "verdict IN ('agree', 'disagree', '')", False: "verdict IN ('agree', 'disagree')"}
LOCAL = '25bf8e1a2393f1108d37029b3df5593236c755742ec93465bbafa9b290bddcf6'


def upgrade() -> None:
    op.add_column('users', sa.Column('role', sa.Text(), nullable=False, server_default='reader'))
    op.execute(f"UPDATE users SET role = 'admin' WHERE key_hash = '{LOCAL}'")
    _guard(False, 'feedback')
    with op.batch_alter_table('feedback', recreate='auto', table_kwargs={'sqlite_autoincrement': True}) as batch_op:
        batch_op.drop_constraint(batch_op.f('ck_feedback_verdict'), type_='check')
        batch_op.create_check_constraint(batch_op.f('ck_feedback_verdict'), VERDICTS[True])
        batch_op.add_column(sa.Column('codes', sa.JSON(), nullable=False, server_default=sa.text("'[]'")))
        batch_op.add_column(sa.Column('severity', sa.Text(), nullable=False, server_default=''))
        batch_op.add_column(sa.Column('corrected_answer', sa.Text(), nullable=False, server_default=''))
        batch_op.add_column(sa.Column('cells', sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
        batch_op.add_column(sa.Column('mark', sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column('preferred_over', sa.Integer(), nullable=True))
        batch_op.create_foreign_key(batch_op.f('fk_feedback_preferred_over_answer_versions'), 'answer_versions', ['preferred_over'], ['id'])
        batch_op.create_index(batch_op.f('ix_feedback_user_id_created'), ['user_id', 'created'], unique=False)
    _guard(True, 'feedback')
    op.create_table('review_items',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('version_id', sa.Integer(), nullable=False),
    sa.Column('reader_id', sa.Integer(), nullable=False),
    sa.Column('feedback_id', sa.Integer(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('accepted', sa.Boolean(), nullable=False),
    sa.Column('ability', sa.Text(), nullable=False),
    sa.Column('modality', sa.Text(), nullable=False),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('verdict', sa.Text(), nullable=False),
    sa.Column('codes', sa.JSON(), nullable=False),
    sa.Column('merit', sa.Double(), nullable=False),
    sa.Column('locked_by', sa.Integer(), nullable=True),
    sa.Column('locked_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("state IN ('pending', 'submitted', 'skipped', 'disputed', 'adjudicated')", name=op.f('ck_review_items_state')),
    sa.ForeignKeyConstraint(['feedback_id'], ['feedback.id'], name=op.f('fk_review_items_feedback_id_feedback')),
    sa.ForeignKeyConstraint(['locked_by'], ['users.id'], name=op.f('fk_review_items_locked_by_users')),
    sa.ForeignKeyConstraint(['reader_id'], ['users.id'], name=op.f('fk_review_items_reader_id_users')),
    sa.ForeignKeyConstraint(['version_id'], ['answer_versions.id'], name=op.f('fk_review_items_version_id_answer_versions')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_review_items')),
    sa.UniqueConstraint('version_id', 'reader_id', name=op.f('uq_review_items_version_id_reader_id')),
    sqlite_autoincrement=True
    )
    for columns in (['state', 'merit'], ['reader_id'], ['locked_by']):
        op.create_index(op.f(f'ix_review_items_{"_".join(columns)}'), 'review_items', columns, unique=False)
    op.create_table('review_codes',
    sa.Column('item_id', sa.Integer(), nullable=False),
    sa.Column('code', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['item_id'], ['review_items.id'], name=op.f('fk_review_codes_item_id_review_items')),
    sa.PrimaryKeyConstraint('item_id', 'code', name=op.f('pk_review_codes'))
    )
    op.create_index(op.f('ix_review_codes_code'), 'review_codes', ['code'], unique=False)
    op.create_table('review_series',
    sa.Column('item_id', sa.Integer(), nullable=False),
    sa.Column('series_id', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['item_id'], ['review_items.id'], name=op.f('fk_review_series_item_id_review_items')),
    sa.ForeignKeyConstraint(['series_id'], ['series.id'], name=op.f('fk_review_series_series_id_series')),
    sa.PrimaryKeyConstraint('item_id', 'series_id', name=op.f('pk_review_series'))
    )
    op.create_index(op.f('ix_review_series_series_id'), 'review_series', ['series_id'], unique=False)
    op.create_table('reviews',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('item_id', sa.Integer(), nullable=False),
    sa.Column('feedback_id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('decision', sa.Text(), nullable=False),
    sa.Column('adjudicates', sa.Boolean(), nullable=False),
    sa.Column('blind', sa.Boolean(), nullable=False),
    sa.Column('verdict', sa.Text(), nullable=False),
    sa.Column('codes', sa.JSON(), nullable=False),
    sa.Column('severity', sa.Text(), nullable=False),
    sa.Column('corrected_answer', sa.Text(), nullable=False),
    sa.Column('cells', sa.JSON(), nullable=False),
    sa.Column('comment', sa.Text(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("decision IN ('judged', 'unusable', 'skipped')", name=op.f('ck_reviews_decision')),
    sa.ForeignKeyConstraint(['feedback_id'], ['feedback.id'], name=op.f('fk_reviews_feedback_id_feedback')),
    sa.ForeignKeyConstraint(['item_id'], ['review_items.id'], name=op.f('fk_reviews_item_id_review_items')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_reviews_user_id_users')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_reviews')),
    sqlite_autoincrement=True
    )
    for columns in (['item_id'], ['user_id']):
        op.create_index(op.f(f'ix_reviews_{columns[0]}'), 'reviews', columns, unique=False)
    _guard(True, 'reviews')
    _queue_what_was_said()


def downgrade() -> None:
    _guard(False, 'reviews')
    for table in ('reviews', 'review_series', 'review_codes', 'review_items'):
        op.drop_table(table)
    _guard(False, 'feedback')
    op.execute("DELETE FROM feedback WHERE verdict = ''")
    with op.batch_alter_table('feedback', recreate='auto', table_kwargs={'sqlite_autoincrement': True}) as batch_op:
        batch_op.drop_constraint(batch_op.f('ck_feedback_verdict'), type_='check')
        batch_op.create_check_constraint(batch_op.f('ck_feedback_verdict'), VERDICTS[False])
        batch_op.drop_index(batch_op.f('ix_feedback_user_id_created'))
        batch_op.drop_constraint(batch_op.f('fk_feedback_preferred_over_answer_versions'), type_='foreignkey')
        for name in ('preferred_over', 'mark', 'cells', 'corrected_answer', 'severity', 'codes'):
            batch_op.drop_column(name)
    _guard(True, 'feedback')
    op.drop_column('users', 'role')


def _guard(on: bool, table: str) -> None:
    for statement in (dialect.append_only if on else dialect.changeable)(op.get_context().dialect.name, table):
        op.execute(statement)


def _queue_what_was_said() -> None:
    """One item for the newest statement of each reader on each answer; image by image the first modality."""
    if op.get_context().as_sql:
        return
    connection = op.get_bind()
    said = connection.execute(sa.text(
        "SELECT f.id, f.version_id, f.user_id, f.verdict, f.created, t.ability, t.slots, v.model FROM feedback f"
        " JOIN answer_versions v ON v.id = f.version_id JOIN turns t ON t.id = v.turn_id"
        " WHERE f.id IN (SELECT max(id) FROM feedback GROUP BY version_id, user_id) ORDER BY f.id"
    )).fetchall()
    modality = {row.id: row.modality for row in connection.execute(sa.text("SELECT id, modality FROM series"))}
    for row in said:
        slots = json.loads(row.slots) if isinstance(row.slots, str) else row.slots
        series = [one for one in dict.fromkeys(slot[0] for slot in slots) if one in modality]
        connection.execute(sa.text(
            "INSERT INTO review_items (version_id, reader_id, feedback_id, state, accepted, ability, modality, model, verdict,"
            " codes, merit, created, updated) VALUES (:version, :reader, :feedback, 'pending', :no, :ability, :modality, :model, :verdict,"
            " '[]', 1.0, :created, :created)"
        ), {"version": row.version_id, "reader": row.user_id, "feedback": row.id, "no": False, "ability": row.ability,
            "modality": modality[series[0]] if series else "", "model": row.model, "verdict": row.verdict, "created": row.created})
        for one in series:
            connection.execute(sa.text(
                "INSERT INTO review_series (item_id, series_id)"
                " SELECT id, :series FROM review_items WHERE version_id = :version AND reader_id = :reader"
            ), {"series": one, "version": row.version_id, "reader": row.user_id})
