"""Hours and days of trends"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

HOUR = {
    "sqlite": "CAST(time / 3600 AS INTEGER) * 3600 - (time < CAST(time / 3600 AS INTEGER) * 3600) * 3600",
    "postgresql": "floor(time / 3600) * 3600",
}
DAY = {
    "sqlite": "CAST(time / 86400 AS INTEGER) * 86400 - (time < CAST(time / 86400 AS INTEGER) * 86400) * 86400",
    "postgresql": "floor(time / 86400) * 86400",
}
ORDINARY = "CASE WHEN abs(value) < 1e290 THEN value END"
OF_POINTS = f"""
    INSERT INTO trend_rollups (trend_id, seconds, time, kept, count, unknown, summed, total, low, high, first, last)
    SELECT trend_id, 3600, {{start}}, {{false}}, count(value), count(*) - count(value), count({ORDINARY}),
           sum({ORDINARY}), min(value), max(value), min(time), max(time)
    FROM trend_points WHERE trend_id = :trend GROUP BY trend_id, {{start}}"""  # noqa: S608
OF_HOURS = """
    INSERT INTO trend_rollups (trend_id, seconds, time, kept, count, unknown, summed, total, low, high, first, last)
    SELECT trend_id, 86400, {start}, {false}, sum(count), sum(unknown), sum(summed), sum(total), min(low), max(high),
           min(first), max(last)
    FROM trend_rollups WHERE trend_id = :trend AND seconds = 3600 GROUP BY trend_id, {start}"""


def upgrade() -> None:
    op.create_table(
        "trend_rollups",
        sa.Column("trend_id", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("unknown", sa.BigInteger(), nullable=False),
        sa.Column("summed", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Double(), nullable=True),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("first", sa.Double(), nullable=False),
        sa.Column("last", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["trend_id"], ["trend_names.id"], name=op.f("fk_trend_rollups_trend_id")),
        sa.PrimaryKeyConstraint("trend_id", "seconds", "time", "kept", name=op.f("pk_trend_rollups")),
        sqlite_with_rowid=False,
    )
    roll_up(op.get_bind())


def roll_up(connection: sa.Connection) -> None:
    """Of the points that are there: by the database itself, one trend after the other, so that memory does not grow."""
    dialect = connection.dialect.name
    words = {"false": "0" if dialect == "sqlite" else "false"}
    for trend in connection.scalars(sa.text("SELECT id FROM trend_names ORDER BY id")).all():
        connection.execute(sa.text(OF_POINTS.format(start=HOUR[dialect], **words)), {"trend": trend})
        connection.execute(sa.text(OF_HOURS.format(start=DAY[dialect], **words)), {"trend": trend})


def downgrade() -> None:
    op.drop_table("trend_rollups")
