-- Subscriptions, what they are told, and webhooks.

-- name: count_subscriptions
SELECT count(*) FROM subscriptions WHERE workspace = $1;

-- name: insert_subscription
INSERT INTO subscriptions (
    workspace, subscription, url, kinds, destination, source, window_minutes, success_rate_min, volume_change_max,
    count_min, all_sources, sources, creator, created_at_us, salt, judged
) VALUES ($1, $2, $3, $4::smallint[], $5, $6, $7, $8, $9, $10, $11, $12::text[], $13, $14, $15, $16);

-- name: list_subscriptions
SELECT s.*, (SELECT count(*) FROM webhook_due w
    WHERE w.workspace = s.workspace AND w.subscription = s.subscription) AS pending
FROM subscriptions s WHERE s.workspace = $1 AND ($2 = '' OR s.subscription = $2) AND NOT s.orphaned
ORDER BY s.created_at_us, s.subscription;

-- name: delete_subscription
DELETE FROM subscriptions WHERE workspace = $1 AND subscription = $2;

-- name: orphan_subscriptions
UPDATE subscriptions SET orphaned = true WHERE workspace = $1 AND creator = $2;

-- name: orphans
SELECT workspace, subscription FROM subscriptions WHERE orphaned ORDER BY 1, 2 LIMIT 1000;

-- name: interests
SELECT * FROM subscriptions WHERE workspace = $1 AND NOT orphaned ORDER BY subscription;

-- name: subscribed_workspaces
SELECT DISTINCT workspace FROM subscriptions WHERE NOT orphaned;

-- name: set_judged
UPDATE subscriptions SET judged = $2 WHERE workspace = $1 AND subscription = ANY($3::text[]);

-- name: counts
-- By destination, of windows from one to another.
SELECT d.destination, d.source, w.*
FROM (SELECT destination, min(source) AS source FROM destinations WHERE workspace = $1 GROUP BY 1) AS d
CROSS JOIN LATERAL (
    SELECT sum(r.attempts)::bigint AS attempts,
        coalesce(sum(r.attempts) FILTER (WHERE r.error_type <> 0), 0)::bigint AS failures,
        sum(r.first_attempts)::bigint AS events, sum(r.exhausted)::bigint AS exhausted
    FROM attempt_rollups r
    WHERE r.workspace = $1 AND r.destination = d.destination AND r.minute >= $2 * 5 AND r.minute < ($3 + 1) * 5
    HAVING count(*) > 0
) AS w
WHERE NOT EXISTS (SELECT FROM departed_destinations g WHERE g.workspace = $1 AND g.destination = d.destination);

-- name: first_windows
SELECT destination, first_window FROM destination_health WHERE workspace = $1;

-- name: refused
-- By source, of windows from one to another.
SELECT source, sum(count)::bigint AS count FROM ingest_rollups
WHERE workspace = $1 AND minute >= $2 * 5 AND minute < ($3 + 1) * 5
GROUP BY 1;

-- name: refusal
SELECT reason FROM ingest_failures WHERE workspace = $1 AND source = $2 AND received_at_us >= $3
ORDER BY received_at_us DESC LIMIT 1;

-- name: source_of
SELECT min(source) FROM destinations WHERE workspace = $1 AND destination = $2;

-- name: low
SELECT destination FROM low_successes WHERE workspace = $1 AND subscription = $2;

-- name: put_low
INSERT INTO low_successes (workspace, subscription, destination) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: drop_low
DELETE FROM low_successes WHERE workspace = $1 AND subscription = $2 AND destination = $3;

-- name: positions
SELECT workspace, position FROM alert_positions;

-- name: position
SELECT position FROM alert_positions WHERE workspace = $1;

-- name: begin_position
INSERT INTO alert_positions (workspace, position) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: set_position
INSERT INTO alert_positions (workspace, position) VALUES ($1, $2)
ON CONFLICT (workspace) DO UPDATE SET position = excluded.position;

-- name: waiting
-- How many webhooks of each subscription wait.
SELECT subscription, count(*) AS count FROM webhook_due WHERE workspace = $1 GROUP BY 1;

-- name: put_webhooks
INSERT INTO webhook_due (workspace, subscription, alert, body, created_at_us, due_at_us)
SELECT $1, k.subscription, k.alert, k.body, $5, $5
FROM unnest($2::text[], $3::text[], $4::text[]) AS k (subscription, alert, body);

-- name: count_undelivered
UPDATE subscriptions SET undelivered = undelivered + $3 WHERE workspace = $1 AND subscription = $2;

-- name: due_webhooks
-- The first that is due of each subscription that is not being sent to.
SELECT DISTINCT ON (w.workspace, w.subscription) w.*, s.url, s.salt
FROM webhook_due w JOIN subscriptions s USING (workspace, subscription)
WHERE w.due_at_us <= $1 AND NOT s.orphaned
    AND NOT EXISTS (SELECT FROM unnest($2::text[], $3::text[]) AS b (workspace, subscription)
        WHERE b.workspace = w.workspace AND b.subscription = w.subscription)
ORDER BY w.workspace, w.subscription, w.due_at_us;

-- name: delete_webhook
DELETE FROM webhook_due WHERE workspace = $1 AND subscription = $2 AND alert = $3;

-- name: postpone_webhook
UPDATE webhook_due SET tries = $4, due_at_us = $5 WHERE workspace = $1 AND subscription = $2 AND alert = $3;

-- name: note_result
UPDATE subscriptions SET last_sent_at_us = $3, last_status = $4, last_error = $5
WHERE workspace = $1 AND subscription = $2;
