"""The SQL of a load, step by step; ``Loader`` runs the steps in one transaction.

``arrived`` holds the events of the batch as they came, with ``derived`` (when each happened) and
``arrival`` (its place in the batch). Temporary tables belong to the loader's own connection.
"""

from __future__ import annotations

from trackway.warehouse.schema import (
    COLUMNS,
    DERIVED_MS,
    DUPLICATE_WINDOW_MS,
    IS_VIEW,
    PACKED,
    SESSION_ENTRY,
    SESSION_GAP_MS,
)

_STORED = [*PACKED, *(column for column in COLUMNS if not column.computed)]

#: An event without a visitor cannot come from our own pipeline, but must not vanish in a join.
READ = f"""
CREATE OR REPLACE TEMP TABLE arrived AS
SELECT * REPLACE (coalesce(visitor, 'd:') AS visitor),
       {DERIVED_MS} AS derived, row_number() OVER () AS arrival
FROM (SELECT {{fields}}
      FROM read_json(?, format = 'newline_delimited', columns = {{{{{{columns}}}}}}))
"""

READ_BAD = """
CREATE OR REPLACE TEMP TABLE refused AS
SELECT * FROM read_json(?, format = 'newline_delimited', columns = {{{columns}}})
"""

BAD = """
INSERT INTO bad_rows
SELECT id, epoch_ms(received), reason, message, site, path, content_type, from_base64(raw)
FROM refused
"""

COUNT_BAD = """
INSERT INTO ingest
SELECT site, time_bucket(INTERVAL 1 MINUTE, epoch_ms(received)), 'bad:' || reason, count(*)
FROM refused GROUP BY ALL
"""

#: Of the arrived events the new ones: the first of each id, unless the warehouse has it already.
#: Only the columns that the next steps need; copying a hundred of them at each step costs more
#: than all the steps.
FRESH = f"""
CREATE OR REPLACE TEMP TABLE fresh AS
SELECT * FROM (
    SELECT arrival, site, id, received, derived, visitor, user_id, anonymous_id FROM arrived
    QUALIFY row_number() OVER (PARTITION BY site, id ORDER BY received, arrival) = 1
) AS a
WHERE NOT EXISTS (
    SELECT 1 FROM events AS e
    WHERE e.event_id = a.id AND e.site = a.site
      AND e.collector_tstamp BETWEEN epoch_ms($first - {DUPLICATE_WINDOW_MS})
                                 AND epoch_ms($last + {DUPLICATE_WINDOW_MS})
      AND abs(epoch_ms(e.collector_tstamp) - a.received) < {DUPLICATE_WINDOW_MS})
"""

#: Every visitor of the batch with its number, new visitors numbered on; and whose past an
#: identified user takes over: an anonymous id belongs to the first who identifies with it.
PEOPLE = """
CREATE OR REPLACE TEMP TABLE known AS
SELECT w.site, w.visitor_id, w.first_seen, p.visitor, p.person
FROM (
    SELECT site, visitor_id, min(derived) AS first_seen
    FROM (SELECT site, visitor AS visitor_id, derived FROM fresh
          UNION ALL
          SELECT site, 'a:' || anonymous_id, derived FROM fresh
          WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL)
    GROUP BY site, visitor_id
) AS w
LEFT JOIN people AS p ON p.site = w.site AND p.visitor_id = w.visitor_id;

UPDATE known SET visitor = n.number, person = n.number
FROM (SELECT site, visitor_id,
             (SELECT coalesce(max(visitor), 0) FROM people)
             + row_number() OVER (ORDER BY first_seen, site, visitor_id) AS number
      FROM known WHERE visitor IS NULL) AS n
WHERE known.site = n.site AND known.visitor_id = n.visitor_id;

INSERT INTO people
SELECT k.visitor, k.site, k.visitor_id, k.person, epoch_ms(k.first_seen)
FROM known AS k
WHERE k.visitor > (SELECT coalesce(max(visitor), 0) FROM people)
ORDER BY k.visitor;

CREATE OR REPLACE TEMP TABLE claims AS
SELECT a.visitor, u.person
FROM (SELECT site, anonymous_id, arg_min(user_id, (derived, arrival)) AS user_id
      FROM fresh WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL
      GROUP BY site, anonymous_id) AS f
JOIN known AS a ON a.site = f.site AND a.visitor_id = 'a:' || f.anonymous_id
JOIN known AS u ON u.site = f.site AND u.visitor_id = 'u:' || f.user_id
WHERE a.person = a.visitor AND u.person <> a.person;
"""

CLAIM = """
UPDATE people SET person = c.person FROM claims AS c WHERE people.visitor = c.visitor;
UPDATE known SET person = c.person FROM claims AS c WHERE known.visitor = c.visitor;
"""

STORE = f"""
CREATE OR REPLACE TEMP TABLE numbered AS
SELECT f.arrival, k.visitor AS visitor_number, k.person, f.derived
FROM fresh AS f JOIN known AS k ON k.site = f.site AND k.visitor_id = f.visitor;

INSERT INTO events BY NAME
SELECT {", ".join(f"{column.source} AS {column.name}" for column in _STORED)}
FROM arrived JOIN (SELECT arrival, visitor_number FROM numbered) USING (arrival)
ORDER BY site, derived;
"""

_SESSION_COLUMNS = (
    "site, started, ended, person, events, views, entered, left_at, exit_page, is_bot, "
    + ", ".join(name for name, _ in SESSION_ENTRY)
)

#: The stored sessions that an event of the batch may lengthen, or join to another.
TOUCHED = f"""
CREATE OR REPLACE TEMP TABLE touched AS
SELECT s.rowid AS stored, {_SESSION_COLUMNS}
FROM sessions AS s
JOIN (SELECT person AS who, min(derived) - {SESSION_GAP_MS} AS low,
             max(derived) + {SESSION_GAP_MS} AS high
      FROM numbered GROUP BY person) AS b ON b.who = s.person
WHERE s.ended >= epoch_ms($low) AND s.started <= epoch_ms($high)
  AND epoch_ms(s.ended) >= b.low AND epoch_ms(s.started) <= b.high;
"""

#: The sessions of an anonymous past go to its person, whose own sessions they may join.
CLAIMED = f"""
INSERT INTO touched BY NAME
SELECT s.rowid AS stored, {_SESSION_COLUMNS.replace("person", "c.person AS person")}
FROM sessions AS s JOIN claims AS c ON s.person = c.visitor;

INSERT INTO touched BY NAME
SELECT DISTINCT s.rowid AS stored, {_SESSION_COLUMNS.replace("person", "s.person")}
FROM sessions AS s JOIN claims AS c ON s.person = c.person
WHERE s.rowid NOT IN (SELECT stored FROM touched);
"""

_ENTRY_STRUCT = ", ".join(f"{name} := {name}" for name, _ in SESSION_ENTRY)
_SOURCES = {column.name: column.source for column in _STORED}
_ENTRY_FIELDS = ", ".join(f"{_SOURCES[column]} AS {name}" for name, column in SESSION_ENTRY)
_VIEWED = IS_VIEW.replace("event_name", "name")

#: A session is what gaps of at most half an hour hold together. Every event is a session of one
#: event; sessions are intervals, and intervals that lie close enough melt into one. Nothing
#: else of a session needs to be read again, however late an event comes.
#: The entry facts are those of the first view, else those of the first event.
SESSIONS = f"""
DELETE FROM sessions WHERE rowid IN (SELECT stored FROM touched);

INSERT INTO sessions BY NAME
SELECT * EXCLUDE (entered, left_at), epoch_ms(entered) - epoch_ms(started) AS entered_after,
       epoch_ms(ended) - epoch_ms(left_at) AS left_before
FROM (
    SELECT site, min(started) AS started, max(ended) AS ended, person, sum(events) AS events,
           sum(views) AS views, min(entered) AS entered, max(left_at) AS left_at,
           arg_max(exit_page, left_at) AS exit_page, bool_or(is_bot) AS is_bot,
           unnest(arg_min(struct_pack({_ENTRY_STRUCT}),
                          coalesce(epoch_ms(entered), epoch_ms(started) + {10**15})))
    FROM (
        SELECT *, sum(begins) OVER (PARTITION BY person ORDER BY started, ended
                                    ROWS UNBOUNDED PRECEDING) AS number
        FROM (
            SELECT *, (epoch_ms(started) - epoch_ms(max(ended) OVER (
                           PARTITION BY person ORDER BY started, ended
                           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING))
                       <= {SESSION_GAP_MS}) IS NOT TRUE AS begins
            FROM (
                SELECT {_SESSION_COLUMNS} FROM touched
                UNION ALL BY NAME
                SELECT site, moment AS started, moment AS ended, person, 1 AS events,
                       viewed::INTEGER AS views, CASE WHEN viewed THEN moment END AS entered,
                       CASE WHEN viewed THEN moment END AS left_at,
                       CASE WHEN viewed THEN page_path END AS exit_page,
                       coalesce(is_bot, false) AS is_bot, {_ENTRY_FIELDS}
                FROM (SELECT *, epoch_ms(derived)::TIMESTAMP_MS AS moment, {_VIEWED} AS viewed
                      FROM arrived JOIN (SELECT arrival, person FROM numbered) USING (arrival))
            )
        )
    )
    GROUP BY site, person, number
)
ORDER BY site, started;
"""

COUNT = """
INSERT INTO ingest
SELECT site, time_bucket(INTERVAL 1 MINUTE, epoch_ms(received)), outcome, count(*)
FROM (SELECT site, received, 'stored' AS outcome FROM fresh
      UNION ALL
      SELECT site, received, 'duplicate' FROM arrived
      WHERE arrival NOT IN (SELECT arrival FROM fresh))
GROUP BY ALL;
"""
