-- Alerts: what is wrong at this moment, and what people were told of it.

-- One trouble from its beginning to its end. site, subject: of what (a camera, a store, a folder, a plan), '' when it
-- has none. detail: figures for the message, as last seen. seen_at: when it was last found.
CREATE TABLE alert (
    alert_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    site       text NOT NULL DEFAULT '',
    subject    text NOT NULL DEFAULT '',
    detail     jsonb NOT NULL,
    opened_at  timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    closed_at  timestamptz
);

-- A trouble that goes on is one alert, however often it is found.
CREATE UNIQUE INDEX alert_open ON alert (kind, site, subject) WHERE closed_at IS NULL;

-- What has been open lately.
CREATE INDEX alert_closed ON alert (closed_at);

-- What a target shall be told: written in the transaction that opens or closes the alert, marked when it was taken.
-- site, day: of a digest. tries, error: of the tries that failed so far. withdrawn_at: not wanted any more.
CREATE TABLE alert_message (
    message_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target        text NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('begin', 'end', 'digest')),
    alert_id      bigint REFERENCES alert,
    site          text NOT NULL DEFAULT '',
    day           date,
    made_at       timestamptz NOT NULL,
    sent_at       timestamptz,
    withdrawn_at  timestamptz,
    tried_at      timestamptz,
    tries         int NOT NULL DEFAULT 0,
    error         text NOT NULL DEFAULT '',
    CHECK ((kind = 'digest') = (alert_id IS NULL) AND (kind = 'digest') = (day IS NOT NULL))
);

CREATE UNIQUE INDEX alert_message_once ON alert_message (target, kind, alert_id) WHERE alert_id IS NOT NULL;
CREATE UNIQUE INDEX alert_message_digest ON alert_message (target, site, day) WHERE kind = 'digest';
CREATE INDEX alert_message_open ON alert_message (target, message_id) WHERE sent_at IS NULL AND withdrawn_at IS NULL;

-- When something that is not done at each round was last done.
CREATE TABLE alert_round (
    what  text PRIMARY KEY,
    at    timestamptz NOT NULL
);
