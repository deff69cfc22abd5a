"""The tables of the text index, and how it is sorted once they are filled. See `docs/design.md`."""

from __future__ import annotations

SCHEMA_VERSION = 3

SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE texts(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE VIRTUAL TABLE words USING fts5(tokens, content='', detail=none, prefix='3 4 5 6 7',
    tokenize="unicode61 remove_diacritics 2 tokenchars '_'");
CREATE TABLE files(id INTEGER PRIMARY KEY, path TEXT NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE models(id INTEGER PRIMARY KEY, model_id TEXT NOT NULL, model_digest TEXT NOT NULL,
    UNIQUE(model_id, model_digest));
CREATE TABLE frames(id INTEGER PRIMARY KEY, frame_id TEXT NOT NULL, run_id TEXT NOT NULL, ts INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, content_hash TEXT NOT NULL, blob_path TEXT NOT NULL,
    window_record TEXT, app TEXT, process_path TEXT, title INTEGER, hwnd INTEGER,
    l INTEGER, t INTEGER, r INTEGER, b INTEGER, uia_record TEXT, status TEXT NOT NULL);
CREATE TABLE unlisted(sample_id TEXT PRIMARY KEY, ts INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE days(run_id TEXT NOT NULL, day TEXT NOT NULL, first_frame INTEGER NOT NULL, last_frame INTEGER NOT NULL,
    first_ts INTEGER NOT NULL, last_ts INTEGER NOT NULL, PRIMARY KEY(run_id, day)) WITHOUT ROWID;
CREATE TABLE windows(id INTEGER PRIMARY KEY, record_id TEXT NOT NULL, run_id TEXT NOT NULL, ts INTEGER NOT NULL,
    app TEXT, process_path TEXT, title INTEGER NOT NULL, hwnd INTEGER,
    l INTEGER, t INTEGER, r INTEGER, b INTEGER);
CREATE TABLE visits(id INTEGER PRIMARY KEY, visit_id TEXT NOT NULL, run_id TEXT NOT NULL, first_ts INTEGER NOT NULL,
    last_ts INTEGER NOT NULL, first_frame INTEGER NOT NULL, last_frame INTEGER NOT NULL, app TEXT, hwnd INTEGER,
    url INTEGER NOT NULL, host TEXT NOT NULL, domain TEXT NOT NULL, source TEXT NOT NULL, source_record TEXT NOT NULL,
    l INTEGER, t INTEGER, r INTEGER, b INTEGER);
CREATE TABLE hosts(host TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE programs(app TEXT NOT NULL, path TEXT NOT NULL, PRIMARY KEY(app, path)) WITHOUT ROWID;
CREATE TABLE records(id INTEGER PRIMARY KEY, record_id TEXT NOT NULL, frame INTEGER NOT NULL, file INTEGER NOT NULL,
    model INTEGER NOT NULL);
CREATE TABLE tracks(id INTEGER PRIMARY KEY, key BLOB NOT NULL, text INTEGER NOT NULL, first_ts INTEGER NOT NULL,
    last_ts INTEGER NOT NULL, frame_count INTEGER NOT NULL, in_active INTEGER, score INTEGER NOT NULL,
    first_record INTEGER NOT NULL, first_line INTEGER NOT NULL,
    fl INTEGER NOT NULL, ft INTEGER NOT NULL, fr INTEGER NOT NULL, fb INTEGER NOT NULL, first_proof BLOB NOT NULL,
    last_record INTEGER NOT NULL, last_line INTEGER NOT NULL,
    ll INTEGER NOT NULL, lt INTEGER NOT NULL, lr INTEGER NOT NULL, lb INTEGER NOT NULL, last_proof BLOB NOT NULL);
CREATE TABLE spans(id INTEGER PRIMARY KEY, span_id TEXT NOT NULL, first_ts INTEGER NOT NULL, last_ts INTEGER NOT NULL,
    heading INTEGER, tracks BLOB NOT NULL, text_sha256 TEXT NOT NULL, file INTEGER NOT NULL,
    record_id TEXT NOT NULL, record_file INTEGER NOT NULL, vector_sha256 TEXT NOT NULL);
"""
INDEXES = """
CREATE UNIQUE INDEX frames_by_id ON frames(frame_id);
CREATE INDEX frames_by_time ON frames(ts);
CREATE INDEX frames_by_title ON frames(title, ts);
CREATE INDEX frames_by_window ON frames(window_record);
CREATE INDEX frames_by_status ON frames(status, ts) WHERE status <> 'done';
CREATE INDEX windows_by_time ON windows(ts);
CREATE INDEX visits_by_time ON visits(first_ts);
CREATE INDEX visits_by_url ON visits(url, first_ts);
CREATE INDEX visits_by_id ON visits(visit_id);
CREATE INDEX records_by_id ON records(record_id);
CREATE INDEX tracks_by_text ON tracks(text, first_ts, last_ts);
CREATE INDEX tracks_by_time ON tracks(first_ts, last_ts);
CREATE INDEX tracks_by_key ON tracks(key);
CREATE UNIQUE INDEX spans_by_id ON spans(span_id);
CREATE INDEX spans_by_time ON spans(first_ts);
"""
