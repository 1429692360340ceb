-- How destinations are, who is told what, and webhooks that wait. Windows are numbers: five minutes each since 1970.

-- domain/health.py's Health, of every destination that was ever attempted.
CREATE TABLE destination_health (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    unhealthy boolean NOT NULL,
    since integer,
    judged integer,
    failing integer NOT NULL,
    clean integer NOT NULL,
    failing_since integer,
    clean_since integer,
    invalid_since integer,
    -- The first window in which it was attempted: no volume is compared with what was before.
    first_window integer NOT NULL,
    PRIMARY KEY (workspace, destination)
) WITH (fillfactor = 50);
CREATE INDEX destination_health_unhealthy ON destination_health (workspace, destination) WHERE unhealthy;

-- Up to which window everything was judged; and since which one without a gap, which a clock that jumps makes.
CREATE TABLE health_progress (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    judged integer NOT NULL,
    steady_since integer NOT NULL
);

CREATE TABLE subscriptions (
    workspace text COLLATE "C" NOT NULL,
    subscription text COLLATE "C" NOT NULL,
    url text NOT NULL,
    -- onward.delivery.v1.AlertKind
    kinds smallint[] NOT NULL,
    -- '' for any.
    destination text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    window_minutes integer NOT NULL,
    success_rate_min double precision NOT NULL,
    volume_change_max double precision NOT NULL,
    count_min bigint NOT NULL,
    -- What its creator saw when it was created: everything, or these sources.
    all_sources boolean NOT NULL,
    sources text[] NOT NULL,
    creator text NOT NULL,
    created_at_us bigint NOT NULL,
    -- The secret that signs its webhooks is made of this and the service's key, and stored nowhere.
    salt bytea NOT NULL,
    -- The last window that its conditions were judged by.
    judged integer NOT NULL,
    -- Its creator is no member any more: it ends with the next look.
    orphaned boolean NOT NULL DEFAULT false,
    undelivered bigint NOT NULL DEFAULT 0,
    -- How the last webhook went; NULL before the first one.
    last_sent_at_us bigint,
    last_status integer NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '',
    PRIMARY KEY (workspace, subscription)
) WITH (fillfactor = 70);

-- Destinations of which a subscription was told that too few attempts succeed: told again when enough did meanwhile.
CREATE TABLE low_successes (
    workspace text COLLATE "C" NOT NULL,
    subscription text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace, subscription, destination),
    FOREIGN KEY (workspace, subscription) REFERENCES subscriptions ON DELETE CASCADE
);

-- Webhooks that wait to be sent, or sent again.
CREATE TABLE webhook_due (
    workspace text COLLATE "C" NOT NULL,
    subscription text COLLATE "C" NOT NULL,
    -- The alert's id, which is the webhook's.
    alert text COLLATE "C" NOT NULL,
    body text NOT NULL,
    created_at_us bigint NOT NULL,
    due_at_us bigint NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace, subscription, alert),
    FOREIGN KEY (workspace, subscription) REFERENCES subscriptions ON DELETE CASCADE
);
CREATE INDEX webhook_due_by_time ON webhook_due (due_at_us);

-- Up to which position the tracker's own log was looked through for what subscriptions are told.
CREATE TABLE alert_positions (
    workspace text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL
);
