"""The tables of the catalog.

`sample_counts` and `outcome_counts` hold what counting rows would give, kept by triggers: a year has millions of rows
and an operator no patience. `OR REPLACE` fires no trigger for the row that goes: rows of `outcomes` and `samples` are
written by `ON CONFLICT DO UPDATE`.
"""

MIGRATIONS = (
    """
    CREATE TABLE samples(
        sample_id TEXT PRIMARY KEY, record_type TEXT NOT NULL, run_id TEXT NOT NULL, ts_us INTEGER NOT NULL,
        day TEXT NOT NULL, hour TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX samples_by_hour ON samples(record_type, day DESC, run_id, hour, ts_us, sample_id);
    CREATE TABLE unreadable(record_id TEXT PRIMARY KEY, record_type TEXT NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE outcomes(
        stage TEXT NOT NULL, sample_id TEXT NOT NULL, run_id TEXT NOT NULL, day TEXT NOT NULL, hour TEXT NOT NULL,
        ts_us INTEGER NOT NULL, status TEXT NOT NULL, error_code TEXT, message TEXT, attempts INTEGER NOT NULL,
        retry_at_us INTEGER NOT NULL, fingerprint TEXT NOT NULL, output_id TEXT, output_hash TEXT,
        PRIMARY KEY(stage, sample_id)) WITHOUT ROWID;
    CREATE INDEX outcomes_by_hour ON outcomes(run_id, day, hour);
    CREATE TABLE day_versions(
        source TEXT NOT NULL, run_id TEXT NOT NULL, day TEXT NOT NULL, version INTEGER NOT NULL,
        PRIMARY KEY(source, run_id, day)) WITHOUT ROWID;
    CREATE TABLE day_outcomes(
        stage TEXT NOT NULL, run_id TEXT NOT NULL, day TEXT NOT NULL, fingerprint TEXT NOT NULL, inputs TEXT NOT NULL,
        row_count INTEGER NOT NULL, PRIMARY KEY(stage, run_id, day)) WITHOUT ROWID;
    CREATE TABLE unprojected(
        run_id TEXT NOT NULL, day TEXT NOT NULL, hour TEXT NOT NULL, PRIMARY KEY(run_id, day, hour)) WITHOUT ROWID;
    CREATE TABLE marks(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE other_outcomes(
        stage TEXT NOT NULL, sample_id TEXT NOT NULL, run_id TEXT NOT NULL, day TEXT NOT NULL, hour TEXT NOT NULL,
        ts_us INTEGER NOT NULL, status TEXT NOT NULL, error_code TEXT, message TEXT, attempts INTEGER NOT NULL,
        retry_at_us INTEGER NOT NULL, fingerprint TEXT NOT NULL, output_id TEXT, output_hash TEXT,
        PRIMARY KEY(stage, fingerprint, sample_id)) WITHOUT ROWID;
    CREATE INDEX other_outcomes_by_sample ON other_outcomes(stage, sample_id);
    CREATE TABLE engine_models(
        stage TEXT NOT NULL, fingerprint TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY(stage, fingerprint))
        WITHOUT ROWID;
    """,
    """
    ALTER TABLE samples ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outcomes ADD COLUMN at_us INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE other_outcomes ADD COLUMN at_us INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX outcomes_not_done ON outcomes(stage, status, retry_at_us) WHERE status <> 'done';
    CREATE TABLE sample_counts(
        record_type TEXT NOT NULL, day TEXT NOT NULL, run_id TEXT NOT NULL, samples INTEGER NOT NULL,
        bytes INTEGER NOT NULL, PRIMARY KEY(record_type, day, run_id)) WITHOUT ROWID;
    CREATE TABLE outcome_counts(
        stage TEXT NOT NULL, day TEXT NOT NULL, run_id TEXT NOT NULL, fingerprint TEXT NOT NULL, status TEXT NOT NULL,
        samples INTEGER NOT NULL, PRIMARY KEY(stage, day, run_id, fingerprint, status)) WITHOUT ROWID;
    CREATE TABLE fingerprints(
        stage TEXT NOT NULL, fingerprint TEXT NOT NULL, config_hash TEXT NOT NULL, model_id TEXT NOT NULL,
        model_digest TEXT NOT NULL, prompt_hash TEXT NOT NULL, PRIMARY KEY(stage, fingerprint)) WITHOUT ROWID;
    CREATE TABLE paces(
        stage TEXT NOT NULL, ended_us INTEGER NOT NULL, fingerprint TEXT NOT NULL, samples INTEGER NOT NULL,
        elapsed_us INTEGER NOT NULL, PRIMARY KEY(stage, ended_us, fingerprint)) WITHOUT ROWID;
    CREATE TABLE idle_days(day TEXT PRIMARY KEY, idle_us INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE disk_days(
        day TEXT PRIMARY KEY, measured_us INTEGER NOT NULL, media INTEGER NOT NULL, handoffs INTEGER NOT NULL,
        derived INTEGER NOT NULL, indexes INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO sample_counts SELECT record_type, day, run_id, count(*), 0 FROM samples GROUP BY 1, 2, 3;
    INSERT INTO outcome_counts
        SELECT stage, day, run_id, fingerprint, status, count(*) FROM outcomes GROUP BY 1, 2, 3, 4, 5;
    CREATE TRIGGER samples_added AFTER INSERT ON samples BEGIN
        INSERT INTO sample_counts VALUES (new.record_type, new.day, new.run_id, 1, new.bytes)
            ON CONFLICT DO UPDATE SET samples = samples + 1, bytes = bytes + excluded.bytes; END;
    CREATE TRIGGER samples_gone AFTER DELETE ON samples BEGIN
        UPDATE sample_counts SET samples = samples - 1, bytes = bytes - old.bytes
            WHERE record_type = old.record_type AND day = old.day AND run_id = old.run_id; END;
    CREATE TRIGGER samples_measured AFTER UPDATE OF bytes ON samples BEGIN
        UPDATE sample_counts SET bytes = bytes - old.bytes + new.bytes
            WHERE record_type = new.record_type AND day = new.day AND run_id = new.run_id; END;
    CREATE TRIGGER outcomes_added AFTER INSERT ON outcomes BEGIN
        INSERT INTO outcome_counts VALUES (new.stage, new.day, new.run_id, new.fingerprint, new.status, 1)
            ON CONFLICT DO UPDATE SET samples = samples + 1; END;
    CREATE TRIGGER outcomes_gone AFTER DELETE ON outcomes BEGIN
        UPDATE outcome_counts SET samples = samples - 1 WHERE stage = old.stage AND day = old.day
            AND run_id = old.run_id AND fingerprint = old.fingerprint AND status = old.status; END;
    CREATE TRIGGER outcomes_changed AFTER UPDATE OF fingerprint, status, day, run_id ON outcomes
        WHEN old.fingerprint <> new.fingerprint OR old.status <> new.status OR old.day <> new.day
            OR old.run_id <> new.run_id BEGIN
        UPDATE outcome_counts SET samples = samples - 1 WHERE stage = old.stage AND day = old.day
            AND run_id = old.run_id AND fingerprint = old.fingerprint AND status = old.status;
        INSERT INTO outcome_counts VALUES (new.stage, new.day, new.run_id, new.fingerprint, new.status, 1)
            ON CONFLICT DO UPDATE SET samples = samples + 1; END;
    """,
)
"""Numbered, append-only: the n-th entry brings the schema to `user_version` n."""
