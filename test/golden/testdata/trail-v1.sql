-- A trail as a host of schema 1 has written it: its tables, and the rows of
-- records-v1.json. It is not made anew.
-- Rows in the order of their writing; payloads stay out of the indexes' way.
CREATE TABLE rows (
    id              INTEGER PRIMARY KEY,
    ts              INTEGER NOT NULL, -- Unix milliseconds, as all times here
    topic           TEXT    NOT NULL,
    part            INTEGER NOT NULL,
    off             INTEGER NOT NULL,
    type            TEXT    NOT NULL, -- request, response, dead_letter, gap
    request_id      TEXT    NOT NULL, -- empty where the record had none
    request_topic   TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    success         INTEGER NOT NULL,
    error           TEXT    NOT NULL,
    record_ms       INTEGER NOT NULL, -- the record's time as it stood in Kafka
    sent_ms         INTEGER NOT NULL,
    timeout_ms      INTEGER NOT NULL,
    duration_ms     INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    plugin          TEXT    NOT NULL,
    key_id          TEXT    NOT NULL,
    gap_end         INTEGER NOT NULL,
    keyed           INTEGER NOT NULL, -- 0: the record had no Kafka key, which differs from an empty one
    kafka_key       BLOB,
    reply_to        TEXT    NOT NULL,
    reply_partition INTEGER NOT NULL,
    traceparent     TEXT    NOT NULL,
    tracestate      TEXT    NOT NULL,
    payload         BLOB              -- sealed, as it was on the wire
);

-- A record has one row, however often it is read.
CREATE UNIQUE INDEX rows_by_time ON rows (ts, topic, part, off);

CREATE INDEX rows_by_id ON rows (request_id) WHERE request_id <> '';

CREATE TABLE positions (
    topic       TEXT    NOT NULL,
    part        INTEGER NOT NULL,
    next        INTEGER NOT NULL, -- offset after the last one stored
    record_ms   INTEGER NOT NULL,
    complete_ms INTEGER NOT NULL,
    PRIMARY KEY (topic, part)
) WITHOUT ROWID;

PRAGMA user_version = 1;

INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (1, 1795820531463, 'rr.replies', 1, 0, 'response', '4d440f03-ca0e-4c70-a5bd-e9624c8c6e50', 'calculate', 'ok', 1, '', 1795820531463, 0, 0, 0, 1, 'frozen 5fa2f30ccf79', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, '', 0, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B37812DE73AC729F0BF3EB54EF105A17D39ABBDB85D2682B6103D476744315C958C27DD1A7255F65CF5CD3E6009A267875C453B1E757BD403E2567E451C1');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (2, 1795820531462, 'calculate', 1, 0, 'request', '4d440f03-ca0e-4c70-a5bd-e9624c8c6e50', 'calculate', '', 1, '', 1795820531462, 1795820531462, 30000, 0, 0, '', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, 'rr.replies', 1, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B36DDC7329C7E88DAEDBF950C380C6DB202ED26D504CEA4189EDFDBEF89358506DF78343E707C62E84DFAA03A75720B4A80FE8B8DB37FAD58B63A535C2EAF8');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (3, 1795820531557, 'calculate', 0, 0, 'request', '35a763c1-266d-4191-9b83-a8ee78f1d8e2', 'calculate', '', 1, '', 1795820531557, 1795820531557, 5000, 0, 0, '', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 1, X'6163636F756E742D3137', 'rr.replies', 1, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B36DDC7329C7E88DAEDBF950C380C6DB209757FB3CB62AF46AA2B957573F6099456D47A772F2AD75ED5120E83EF5F95AC86B266037C784F535EF390ACA0369');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (4, 1795820531559, 'rr.replies', 1, 1, 'response', '35a763c1-266d-4191-9b83-a8ee78f1d8e2', 'calculate', 'ok', 1, '', 1795820531559, 0, 0, 0, 1, 'frozen 5fa2f30ccf79', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, '', 0, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B37812DE73AC729F0BF3EB54EF105A17D3314CABB72200412254D59256A704DC2BD2D5A889251DCF8081D1F756839CA9B72F685C156EC99AB3DC5734AB75');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (5, 1795820531559, 'calculate', 1, 1, 'request', 'd0139d5a-020b-4495-9707-09719642c760', 'calculate', '', 1, '', 1795820531559, 1795820531559, 86400000, 0, 0, '', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 1, X'', 'rr.replies', 1, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B36DDC7329C7E88DAEDBF950C380C6DB2004D67A5F5F4368F52731EFC2782212A86B81A46ADBAE4B6A406CEAA05888D464BF4602B1C39456F3F91A5A398B4FB4753AB3A0E778CE70154E0EBC2F071A7D7128C3594ABDCFC9B2B3');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (6, 1795820531560, 'rr.replies', 1, 2, 'response', 'd0139d5a-020b-4495-9707-09719642c760', 'calculate', 'ok', 1, '', 1795820531560, 0, 0, 0, 1, 'frozen 5fa2f30ccf79', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, '', 0, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B37812DE73AC729F0BF3EB54EF105A17D32D7B26FE22AF36CA758671B2D16EDCE6580843FFC42CDA344AA9B0E402AF3FE8107029C356BFC3E1DFC5C48148');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (7, 1795820531560, 'calculate', 2, 0, 'request', 'cea42fb8-f539-40b8-a4fa-6564b7b1271e', 'calculate', '', 1, '', 1795820531560, 1795820531560, 30000, 0, 0, '', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, 'rr.replies', 1, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'vendor=1', X'01518E4FD2C1902514BFC2F8E5ED55D3B36DDC7329C7E88DAEDBF950C380C6DB200E883DAC39BB6916778DD11536265A5457F79B7A07599E5E188F23908319341F30F5B2DDBBB035DD97E52D743A16');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (8, 1795820531561, 'rr.replies', 1, 3, 'response', 'cea42fb8-f539-40b8-a4fa-6564b7b1271e', 'calculate', 'ok', 1, '', 1795820531561, 0, 0, 0, 1, 'frozen 5fa2f30ccf79', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, '', 0, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'vendor=1', X'01518E4FD2C1902514BFC2F8E5ED55D3B37812DE73AC729F0BF3EB54EF105A17D3C3264C09ABD0D6DF3D80B3CFBC464028CB4826BE2C4612BAA5A8642F69B52FC32B8A8860BB006DAE7D12F734E4');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (9, 1795820531562, 'calculate', 3, 0, 'request', '6c439be1-4001-40d5-bf73-b48af34e18e9', 'calculate', '', 1, '', 1795820531562, 1795820531562, 30000, 0, 0, '', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, 'rr.replies', 1, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B36DDC7329C7E88DAEDBF950C380C6DB2020B2AADF8537DB23A3833B6E540207162DEE1986273B29D0BB49814154E49E477CAA2BF794D0F99D2A');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (10, 1795820531564, 'rr.replies', 1, 4, 'response', '6c439be1-4001-40d5-bf73-b48af34e18e9', 'calculate', 'invalid_payload', 0, 'invalid_payload', 1795820531564, 0, 0, 0, 1, 'frozen 5fa2f30ccf79', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, '', 0, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B37812DE73AC729F0BF3EB54EF105A17D383B8829273D86FD56C9CB960C31F64CAD18CBC21D57A67A5359FBFE86DFBC6B849160802D7E3B35F3CA71D6F3448D5043A3FD38EB0EEC40045DB9386E472CF95AC4AAFDE4DE03414F68B87304167D712C551DBAF37563050DC4B2CF2091809948777E4720F5E93ED74776E2BC72A3678FDCD76C7B146618767');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (11, 1795820531566, 'fail', 1, 0, 'request', '9f2cd2b9-c107-4f8c-ad71-c303aecd687f', 'fail', '', 1, '', 1795820531566, 1795820531566, 30000, 0, 0, '', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, 'rr.replies', 1, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B36DDC7329C7E88DAEDBF950C380C6DB202F2A034613E16D72381D69067BF3AAD0E5764ABDC50AE5AE6B73E9ED7B2E3737AD12');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (12, 1795820531567, 'rr.replies', 1, 5, 'response', '9f2cd2b9-c107-4f8c-ad71-c303aecd687f', 'fail', 'handler_error', 0, 'handler_error', 1795820531567, 0, 0, 0, 1, 'frozen 5fa2f30ccf79', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, '', 0, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B37812DE73AC729F0BF3EB54EF105A17D3F4050542A61366B42D6FD1E1B283DD063AB5D11DFBE6DEE6FF0E1CFC7DA71A3BBDBB2A860AD1D58596758F2B770C4EB8125E87BC1FE998BAA9D5E84E6A921D3638540C3BEC4CABCE6F043C9E2D6FFFAE9622B47269A10D2BE7A5549D676DDD8D85AF9467E57B39');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (13, 1795820531567, 'wait', 1, 0, 'request', '2e59922c-8bd7-45e9-ab4e-41fdcc1778f1', 'wait', '', 1, '', 1795820531567, 1795820531567, 300, 0, 0, '', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, 'rr.replies', 1, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B36DDC7329C7E88DAEDBF950C380C6DB20E3DDECD03D37934661FF704060091A1CED33523C60D50289DCBC6F26822EFF4D2A57');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (14, 1795820531867, 'rr.replies', 1, 6, 'response', '2e59922c-8bd7-45e9-ab4e-41fdcc1778f1', 'wait', 'deadline_exceeded', 0, 'deadline_exceeded', 1795820531867, 0, 0, 0, 1, 'frozen 5fa2f30ccf79', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, '', 0, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B37812DE73AC729F0BF3EB54EF105A17D3E5100D2FDFC48AF1B40B4C7946AC6CC6A8C07E7FB9E127F491FE5C152FDA2EF29315DB90BF255A952D9E09E5E4CFEA7F019E46F2FA2CCF2B702517BC862C1B301482AF111CC5A5FAF1B6794D37498D8FC8037A34568752DA4839C56B7BEF7F1A1DB5B4BA511A14D3B80C5D');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (15, 1795820531869, 'calculate', 0, 1, 'request', '2d20375d-cf72-45af-9704-429738d187be', 'calculate', '', 1, '', 1795820531869, 1795820531867, 60000, 0, 0, '', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, '', 0, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B3A853246E85939B935FAA3DF587DF4D766CC9C1B0502BA850E7C5B6FD0D36FF5C96AA64D07F3C257F4753C4929B77C90310ABECC33DD435A7287D10BA949C');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (16, 1795820531871, 'calculate', 0, 2, 'request', 'e3a7f624-e9f9-4d77-ac95-990b63a40e7b', 'calculate', 'malformed', 0, 'malformed', 1795820531871, 0, 0, 0, 0, '', '', 0, 0, NULL, '', 0, '', '', NULL);
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (17, 1795820531872, 'rr.replies', 1, 7, 'response', '2d20375d-cf72-45af-9704-429738d187be', 'calculate', 'ok', 1, '', 1795820531872, 0, 0, 0, 1, 'frozen 5fa2f30ccf79', '518e4fd2c1902514bfc2f8e5ed55d3b3', 0, 0, NULL, '', 0, '', '', X'01518E4FD2C1902514BFC2F8E5ED55D3B37812DE73AC729F0BF3EB54EF105A17D385CF520117B8A67A71925C8D38CBF4D7061F5BB17C989FA07861208FCB37BD7AD2885177EA61896217819FE9BD');
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (18, 1795820531873, 'rr.replies', 0, 0, 'response', 'e3a7f624-e9f9-4d77-ac95-990b63a40e7b', 'calculate', 'malformed', 0, 'malformed', 1795820531873, 0, 0, 0, 0, '', '', 0, 0, NULL, '', 0, '', '', NULL);
INSERT INTO rows (id, ts, topic, part, off, type, request_id, request_topic, status, success, error, record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload) VALUES (19, 1795820531873, 'calculate.dlq', 0, 0, 'dead_letter', 'e3a7f624-e9f9-4d77-ac95-990b63a40e7b', 'calculate', 'malformed', 0, 'malformed', 1795820531873, 0, 0, 0, 0, '', '', 0, 0, NULL, '', 0, '', '', NULL);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('calculate', 0, 3, 1795820531871, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('calculate', 1, 2, 1795820531559, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('calculate', 2, 1, 1795820531560, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('calculate', 3, 1, 1795820531562, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('calculate.dlq', 0, 1, 1795820531873, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('fail', 0, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('fail', 1, 1, 1795820531566, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('fail', 2, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('fail', 3, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('fail.dlq', 0, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('greeting', 0, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('greeting', 1, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('greeting', 2, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('greeting', 3, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('greeting.dlq', 0, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 0, 1, 1795820531873, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 1, 8, 1795820531872, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 2, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 3, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 4, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 5, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 6, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 7, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 8, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 9, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 10, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 11, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 12, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 13, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 14, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('rr.replies', 15, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('wait', 0, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('wait', 1, 1, 1795820531567, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('wait', 2, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('wait', 3, 0, -62135596800000, 1795820545430);
INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES ('wait.dlq', 0, 0, -62135596800000, 1795820545430);
