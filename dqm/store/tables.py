"""The tables. Times are unix seconds as floats, UTC. Changes come as migrations (`migrations/versions`)."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts up by itself only for INTEGER, PostgreSQL needs more than 32 bits for notices
BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Double
Json = sa.JSON

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("number", sa.BigInteger, index=True),
    sa.Column("detector", sa.Text),
    sa.Column("category", sa.Text, nullable=False, server_default=""),
    sa.Column("category_by", sa.Text, nullable=False, server_default="rule"),
    sa.Column("tags", Json, nullable=False),
    sa.Column("comment", sa.Text, nullable=False, server_default=""),
    sa.Column("start", Time, index=True),
    sa.Column("end", Time),
    sa.Column("certification", sa.Text, nullable=False, server_default="open"),
    sa.Column("files", sa.Integer, nullable=False, server_default="0"),
    sa.Column("growing", sa.Integer, nullable=False, server_default="0"),
    sa.Column("unread", sa.Integer, nullable=False, server_default="0"),
    sa.Column("packets", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("quality", sa.Text),
    sa.Column("updated", Time, nullable=False, index=True),
    sa.Column("closed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("version", sa.Integer, nullable=False, server_default="0"),
)

# other names of a run: the numbers of other readouts, in time also those that an expert gives
run_aliases = sa.Table(
    "run_aliases",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("run_id", sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("path", sa.Text, nullable=False, index=True),
    sa.Column("root", sa.Text, nullable=False),
    sa.Column("format", sa.Text, nullable=False, server_default="unknown"),
    sa.Column("version", sa.Text),
    sa.Column("run_id", sa.ForeignKey("runs.id"), index=True),
    # the number in its name: tells the run before anybody has looked at the file
    sa.Column("run_number", sa.BigInteger, index=True),
    sa.Column("subrun", sa.Integer),
    sa.Column("start", Time),
    sa.Column("end", Time),
    sa.Column("rows", sa.BigInteger),
    sa.Column("rows_done", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("mtime_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("inode", sa.Text, nullable=False, server_default=""),
    sa.Column("head", sa.Text, index=True),
    sa.Column("identity", sa.Text, index=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("faults", Json, nullable=False),
    sa.Column("provisional", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("counted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("geometry", sa.Text),
    sa.Column("same_as", sa.Integer),
    sa.Column("first_seen", Time, nullable=False),
    sa.Column("changed", Time, nullable=False),
    sa.Column("done", Time),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_look", Time, index=True),
    # cursor and scan of the file itself, to go on with
    sa.Column("progress", Json(none_as_null=True)),
    # its points of trends were dropped by a retention rule: hours and days hold what it gave
    sa.Column("condensed", sa.Boolean, nullable=False, server_default=sa.false()),
    # who ignores it, and why; and what it held then
    sa.Column("ignored", sa.Text, nullable=False, server_default=""),
    sa.Column("ignored_content", sa.Text, nullable=False, server_default=""),
    # false for rows of names that hold something else now: they are history
    sa.Column("current", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Index("ix_files_done", "done"),
    sa.Index(
        "ix_files_current_state", "state", sqlite_where=sa.text("current = 1"), postgresql_where=sa.text("current")
    ),
    sa.Index(
        "ix_files_current_path",
        "path",
        unique=True,
        sqlite_where=sa.text("current"),
        postgresql_where=sa.text("current"),
    ),
    # what is due, newest first: only of files that are looked at again, so that it stays short
    sa.Index(
        "ix_files_pending",
        "mtime_ns",
        sqlite_where=sa.text("next_look IS NOT NULL"),
        postgresql_where=sa.text("next_look IS NOT NULL"),
    ),
)

# one plot of one file
parts = sa.Table(
    "parts",
    metadata,
    sa.Column("file_id", sa.ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("plot", sa.Text, primary_key=True),
    sa.Column("plot_version", sa.Integer, nullable=False),
    sa.Column("geometry", sa.Text),
    sa.Column("rows_done", sa.BigInteger, nullable=False),
    sa.Column("cursor", Json(none_as_null=True)),
    sa.Column("complete", sa.Boolean, nullable=False),
    sa.Column("base", sa.Text),
    sa.Column("deltas", Json, nullable=False),
    # whether the base of the run's element has it
    sa.Column("merged", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("traceback", sa.Text, nullable=False, server_default=""),
    sa.Column("provisional", sa.Boolean, nullable=False, server_default=sa.false()),
    # of the states that are still named, which are few: those of open runs
    sa.Index(
        "ix_parts_base",
        "base",
        sqlite_where=sa.text("base IS NOT NULL"),
        postgresql_where=sa.text("base IS NOT NULL"),
    ),
)

# what some seconds of a file added to the plots, for as long as they are in the window of their run
slices = sa.Table(
    "slices",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("file_id", sa.ForeignKey("files.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
    sa.Column("plots", Json, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
)

# channels that somebody looked at a run without
masks = sa.Table(
    "masks",
    metadata,
    sa.Column("address", sa.Text, primary_key=True),
    # the disabled-channel JSON
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("channels", sa.Integer, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("created", Time, nullable=False),
    sa.Column("comment", sa.Text, nullable=False, server_default=""),
    # when somebody last looked at a run without its channels, to a day
    sa.Column("used", Time, nullable=False, server_default="0", index=True),
)

# one plot of one run
elements = sa.Table(
    "elements",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("plot", sa.Text, primary_key=True),
    sa.Column("plot_version", sa.Integer, nullable=False),
    sa.Column("geometry", sa.Text),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("base", sa.Text),
    sa.Column("mergeable", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("traceback", sa.Text, nullable=False, server_default=""),
    sa.Column("provisional", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("trends", Json, nullable=False),
    sa.Column("updated", Time, nullable=False),
)

trend_names = sa.Table(
    "trend_names",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("plot", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("limits", Json, nullable=False),
    sa.UniqueConstraint("plot", "name"),
)

# a number of one file; on SQLite the rows lie in the order of the key, so that a range is one read
trend_points = sa.Table(
    "trend_points",
    metadata,
    sa.Column("trend_id", sa.ForeignKey("trend_names.id"), primary_key=True),
    sa.Column("time", Time, primary_key=True),
    sa.Column("file_id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.Integer, nullable=False),
    sa.Column("end", Time),
    sa.Column("value", sa.Double),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Index("ix_trend_points_file", "file_id"),
    sqlite_with_rowid=False,
)

# hours and days of a trend (dqm.store.rollups); `kept`: what is left of points that a retention rule dropped
trend_rollups = sa.Table(
    "trend_rollups",
    metadata,
    sa.Column("trend_id", sa.ForeignKey("trend_names.id"), primary_key=True),
    sa.Column("seconds", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", Time, primary_key=True),
    sa.Column("kept", sa.Boolean, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("unknown", sa.BigInteger, nullable=False),
    # how many values are in the total
    sa.Column("summed", sa.BigInteger, nullable=False),
    sa.Column("total", sa.Double),
    sa.Column("low", sa.Double),
    sa.Column("high", sa.Double),
    sa.Column("first", Time, nullable=False),
    sa.Column("last", Time, nullable=False),
    sqlite_with_rowid=False,
)

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("seq", BigId, primary_key=True, autoincrement=True),
    sa.Column("time", Time, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)

plugins = sa.Table(
    "plugins",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False, server_default=""),
    sa.Column("broken", sa.Text, nullable=False, server_default=""),
    sa.Column("traceback", sa.Text, nullable=False, server_default=""),
    sa.Column("blocks", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("packets", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("seconds", sa.Double, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_failure", sa.Text, nullable=False, server_default=""),
    sa.Column("found", Time, nullable=False),
    # of the content of its file, so that a changed one is known after a restart too
    sa.Column("digest", sa.Text, nullable=False, server_default=""),
    # its file was changed then, and not its version: what was counted before is of the old text
    sa.Column("version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("edited", Time),
    # how often in a row it went over a limit, until when it rests, and how often on which files
    sa.Column("stops", sa.Integer, nullable=False, server_default="0"),
    sa.Column("until", Time),
    sa.Column("stopped_on", Json(none_as_null=True)),
)

# where a geometry was found, so that a page can draw with it
geometries = sa.Table(
    "geometries",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("directory", sa.Text, nullable=False, server_default=""),
)

watchers = sa.Table(
    "watchers",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started", Time, nullable=False),
    sa.Column("beat", Time, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("queue", sa.Integer, nullable=False),
    sa.Column("backlog_s", sa.Double),
    sa.Column("problems", Json, nullable=False),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", Time, nullable=False),
)

# who changed what, when; triggers of the database refuse to change or remove a row of it (a migration that makes this
# table anew must make them again)
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("time", Time, nullable=False, index=True),
    sa.Column("actor", sa.Text, nullable=False, index=True),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    sa.Column("before", Json),
    sa.Column("after", Json),
)

# states of elements where the database is the only thing shared (PostgreSQL)
states = sa.Table(
    "states",
    metadata,
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("written", Time, nullable=False),
)

# people; never removed, since the audit trail speaks of them
accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    # the name as it is compared: in lower case
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("subsystems", Json, nullable=False),
    # hashed by argon2; null: signs in elsewhere
    sa.Column("password", sa.Text),
    # who an OpenID provider says that this is: issuer and subject
    sa.Column("identity", sa.Text, unique=True),
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created", Time, nullable=False),
    sa.Column("seen", Time),
)

# browsers that are signed in; only a hash of what they show is kept
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("way", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("begun", Time, nullable=False),
    sa.Column("used", Time, nullable=False),
)

# for programs; only a hash of each is kept
tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("account_id", sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", Json, nullable=False),
    sa.Column("created", Time, nullable=False),
    sa.Column("expires", Time),
    sa.Column("used", Time),
    sa.Column("revoked", Time),
)

# failed sign-ins, by a hash of the name and the address that they came from
attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last", Time, nullable=False),
)

# browsers that are away at the OpenID provider
handshakes = sa.Table(
    "handshakes",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("nonce", sa.Text, nullable=False),
    sa.Column("verifier", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("begun", Time, nullable=False),
)

# what is wrong with the monitor itself; rows that have ended are its history
alarms = sa.Table(
    "alarms",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", Time, nullable=False, index=True),
    sa.Column("seen", Time, nullable=False),
    sa.Column("acknowledged_by", sa.Text),
    sa.Column("acknowledged_at", Time),
    sa.Column("ended", Time),
    sa.Index(
        "ix_alarms_open",
        "kind",
        "subject",
        unique=True,
        sqlite_where=sa.text("ended IS NULL"),
        postgresql_where=sa.text("ended IS NULL"),
    ),
)

# how the ingest was, every some seconds; what is older than an hour is thinned to one an hour
pulses = sa.Table(
    "pulses",
    metadata,
    sa.Column("time", Time, primary_key=True),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("queue", sa.Integer, nullable=False),
    sa.Column("lag_s", sa.Double),
    sa.Column("files", sa.BigInteger, nullable=False),
    sa.Column("packets", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("write_s", sa.Double),
    sa.Column("free", Json, nullable=False),
    sa.Column("hourly", sa.Boolean, nullable=False, server_default=sa.false()),
    # of the newest row only
    sa.Column("facts", Json(none_as_null=True)),
)

# sums since the first day: what was counted, whatever became of it
counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

web_workers = sa.Table(
    "web_workers",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started", Time, nullable=False),
    sa.Column("beat", Time, nullable=False),
    sa.Column("streams", sa.Integer, nullable=False),
    sa.Column("most", sa.Integer, nullable=False),
)
