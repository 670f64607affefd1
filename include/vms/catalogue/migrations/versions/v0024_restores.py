"""Cold storage: what was found there, and who waits for it; links that their PIN locks: see the SQL file."""

from pathlib import Path

from alembic import op

revision = "0024"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(sql)
