--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: tarmac_pgqueuer_status; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.tarmac_pgqueuer_status AS ENUM (
    'queued',
    'picked',
    'successful',
    'exception',
    'canceled',
    'deleted',
    'failed'
);


--
-- Name: tarmac_audit_kept(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.tarmac_audit_kept() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN RAISE EXCEPTION 'the audit trail is only added to'; END $$;


--
-- Name: tarmac_fn_pgqueuer_changed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.tarmac_fn_pgqueuer_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    to_emit BOOLEAN := false;  -- Flag to decide whether to emit a notification
BEGIN
    -- Check operation type and set the emit flag accordingly
    IF TG_OP = 'UPDATE' AND OLD IS DISTINCT FROM NEW THEN
        to_emit := true;
    ELSIF TG_OP = 'DELETE' THEN
        to_emit := true;
    ELSIF TG_OP = 'INSERT' THEN
        to_emit := true;
    ELSIF TG_OP = 'TRUNCATE' THEN
        to_emit := true;
    END IF;

    -- Perform notification if the emit flag is set
    IF to_emit THEN
        PERFORM pg_notify(
            'tarmac_ch_pgqueuer',
            json_build_object(
                'channel', 'tarmac_ch_pgqueuer',
                'operation', lower(TG_OP),
                'sent_at', NOW(),
                'table', TG_TABLE_NAME,
                'type', 'table_changed_event'
            )::text
        );
    END IF;

    -- Return appropriate value based on the operation
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        RETURN OLD;
    ELSE
        RETURN NULL; -- For TRUNCATE and other non-row-specific contexts
    END IF;

END;
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: alembic_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: audit; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audit (
    number integer NOT NULL,
    at character varying NOT NULL,
    job character varying NOT NULL,
    entry json NOT NULL
);


--
-- Name: audit_number_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.audit_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: audit_number_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.audit_number_seq OWNED BY public.audit.number;


--
-- Name: jobs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.jobs (
    id character varying NOT NULL,
    state character varying NOT NULL,
    created_at character varying NOT NULL,
    labels json NOT NULL,
    idempotency_key character varying,
    revision integer NOT NULL,
    document json NOT NULL,
    attempt integer DEFAULT 1 NOT NULL,
    place character varying DEFAULT ''::character varying NOT NULL,
    home character varying DEFAULT ''::character varying NOT NULL,
    holder character varying DEFAULT ''::character varying NOT NULL,
    submitter character varying DEFAULT ''::character varying NOT NULL
);


--
-- Name: replicas; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.replicas (
    id character varying NOT NULL,
    seen_at timestamp with time zone NOT NULL
);


--
-- Name: tags; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tags (
    name character varying NOT NULL,
    job character varying DEFAULT ''::character varying NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    landed character varying DEFAULT ''::character varying NOT NULL
);


--
-- Name: tarmac_pgqueuer; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tarmac_pgqueuer (
    id bigint NOT NULL,
    priority integer NOT NULL,
    queue_manager_id uuid,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL,
    heartbeat timestamp with time zone DEFAULT now() NOT NULL,
    execute_after timestamp with time zone DEFAULT now() NOT NULL,
    status public.tarmac_pgqueuer_status NOT NULL,
    entrypoint text NOT NULL,
    dedupe_key text,
    payload bytea,
    headers jsonb,
    attempts integer DEFAULT 0 NOT NULL,
    slot bigint
);


--
-- Name: tarmac_pgqueuer_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.tarmac_pgqueuer_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: tarmac_pgqueuer_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.tarmac_pgqueuer_id_seq OWNED BY public.tarmac_pgqueuer.id;


--
-- Name: tarmac_pgqueuer_log; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tarmac_pgqueuer_log (
    id bigint NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    job_id bigint NOT NULL,
    status public.tarmac_pgqueuer_status NOT NULL,
    priority integer NOT NULL,
    entrypoint text NOT NULL,
    traceback jsonb,
    aggregated boolean DEFAULT false
);


--
-- Name: tarmac_pgqueuer_log_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.tarmac_pgqueuer_log ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.tarmac_pgqueuer_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: tarmac_pgqueuer_schedules; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tarmac_pgqueuer_schedules (
    id bigint NOT NULL,
    expression text NOT NULL,
    entrypoint text NOT NULL,
    heartbeat timestamp with time zone DEFAULT now() NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL,
    next_run timestamp with time zone DEFAULT now() NOT NULL,
    last_run timestamp with time zone,
    status public.tarmac_pgqueuer_status DEFAULT 'queued'::public.tarmac_pgqueuer_status
);


--
-- Name: tarmac_pgqueuer_schedules_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.tarmac_pgqueuer_schedules_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: tarmac_pgqueuer_schedules_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.tarmac_pgqueuer_schedules_id_seq OWNED BY public.tarmac_pgqueuer_schedules.id;


--
-- Name: tarmac_pgqueuer_statistics; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tarmac_pgqueuer_statistics (
    id bigint NOT NULL,
    created timestamp with time zone DEFAULT date_trunc('sec'::text, now()) NOT NULL,
    count bigint NOT NULL,
    priority integer NOT NULL,
    status public.tarmac_pgqueuer_status NOT NULL,
    entrypoint text NOT NULL
);


--
-- Name: tarmac_pgqueuer_statistics_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.tarmac_pgqueuer_statistics_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: tarmac_pgqueuer_statistics_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.tarmac_pgqueuer_statistics_id_seq OWNED BY public.tarmac_pgqueuer_statistics.id;


--
-- Name: audit number; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit ALTER COLUMN number SET DEFAULT nextval('public.audit_number_seq'::regclass);


--
-- Name: tarmac_pgqueuer id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tarmac_pgqueuer ALTER COLUMN id SET DEFAULT nextval('public.tarmac_pgqueuer_id_seq'::regclass);


--
-- Name: tarmac_pgqueuer_schedules id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tarmac_pgqueuer_schedules ALTER COLUMN id SET DEFAULT nextval('public.tarmac_pgqueuer_schedules_id_seq'::regclass);


--
-- Name: tarmac_pgqueuer_statistics id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tarmac_pgqueuer_statistics ALTER COLUMN id SET DEFAULT nextval('public.tarmac_pgqueuer_statistics_id_seq'::regclass);


--
-- Data for Name: alembic_version; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.alembic_version VALUES ('0004');


--
-- Data for Name: audit; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.audit VALUES (1, '2026-12-01T03:34:38.249575+00:00', 'de7e8871f41014f2da1f42044c2abf3c', '{"at": "2026-12-01T03:34:38.249Z", "job": "de7e8871f41014f2da1f42044c2abf3c", "attempt": 1, "outcome": "succeeded", "code": null, "token": "ci", "address": "127.0.0.1", "accepted_at": "2026-12-01T03:34:37.952Z", "registry": "default", "dry_run": false, "archives": [{"name": "one.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e"}], "images": [{"destinations": ["127.0.0.1:11185/team/one:1"], "digest": "sha256:9f3a1fd7226084b301e2d9b9f5142fc74b77f8ee50342ffeab85be02a3ae9a5f", "state": "pushed", "code": null}]}');
INSERT INTO public.audit VALUES (2, '2026-12-01T03:34:38.381685+00:00', '50ea5a82359fe5907c69c02db78178a3', '{"at": "2026-12-01T03:34:38.381Z", "job": "50ea5a82359fe5907c69c02db78178a3", "attempt": 1, "outcome": "succeeded", "code": null, "token": "admin", "address": "127.0.0.1", "accepted_at": "2026-12-01T03:34:38.286Z", "registry": "default", "dry_run": false, "archives": [{"name": "one.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e"}], "images": [{"destinations": ["127.0.0.1:11185/team/one:1"], "digest": "sha256:9f3a1fd7226084b301e2d9b9f5142fc74b77f8ee50342ffeab85be02a3ae9a5f", "state": "already_present", "code": null}]}');
INSERT INTO public.audit VALUES (3, '2026-12-01T03:34:38.484445+00:00', '7784596b8fc7d7b12d9806d2a4586edd', '{"at": "2026-12-01T03:34:38.484Z", "job": "7784596b8fc7d7b12d9806d2a4586edd", "attempt": 1, "outcome": "succeeded", "code": null, "token": "admin", "address": "127.0.0.1", "accepted_at": "2026-12-01T03:34:38.421Z", "registry": "default", "dry_run": true, "archives": [{"name": "one.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e"}], "images": [{"destinations": ["127.0.0.1:11185/planned/team/one:1"], "digest": null, "state": "planned", "code": null}]}');
INSERT INTO public.audit VALUES (4, '2026-12-01T03:34:38.571065+00:00', '200fac1c0853dabec1765a16c5bad975', '{"at": "2026-12-01T03:34:38.571Z", "job": "200fac1c0853dabec1765a16c5bad975", "attempt": 1, "outcome": "failed", "code": "missing_tag", "token": "admin", "address": "127.0.0.1", "accepted_at": "2026-12-01T03:34:38.553Z", "registry": "default", "dry_run": false, "archives": [{"name": "nameless.tar", "source": "upload", "size": 20480, "digest": "sha256:cee6c4e505c273dd6e1352b700bb236afeba315af75758a84eb958bf2f357cd6"}], "images": []}');
INSERT INTO public.audit VALUES (5, '2026-12-01T03:34:38.701700+00:00', '90579b79a5e4547097b1d2d91f4fb666', '{"at": "2026-12-01T03:34:38.701Z", "job": "90579b79a5e4547097b1d2d91f4fb666", "attempt": 1, "outcome": "failed", "code": "digest_mismatch", "token": "admin", "address": "127.0.0.1", "accepted_at": "2026-12-01T03:34:38.609Z", "registry": "default", "dry_run": false, "archives": [{"name": "corrupt.tar", "source": "upload", "size": 20480, "digest": "sha256:5d17bf0da78c909256b89e4e6940cba00470264e3ce63955b760dde38c1b03a2"}], "images": [{"destinations": ["127.0.0.1:11185/team/corrupt:1"], "digest": null, "state": "failed", "code": "digest_mismatch"}]}');
INSERT INTO public.audit VALUES (6, '2026-12-01T03:34:38.930858+00:00', 'd2b8c62114ee197de8c59a10dab4df94', '{"at": "2026-12-01T03:34:38.930Z", "job": "d2b8c62114ee197de8c59a10dab4df94", "attempt": 1, "outcome": "succeeded", "code": null, "token": "admin", "address": "127.0.0.1", "accepted_at": "2026-12-01T03:34:38.801Z", "registry": "default", "dry_run": false, "archives": [{"name": "held.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e"}], "images": [{"destinations": ["127.0.0.1:11185/team/one:1"], "digest": "sha256:9f3a1fd7226084b301e2d9b9f5142fc74b77f8ee50342ffeab85be02a3ae9a5f", "state": "already_present", "code": null}]}');
INSERT INTO public.audit VALUES (7, '2026-12-01T03:34:39.073785+00:00', '10e0b97774efb18760e9f9d5850b90e5', '{"at": "2026-12-01T03:34:39.073Z", "job": "10e0b97774efb18760e9f9d5850b90e5", "attempt": 1, "outcome": "succeeded", "code": null, "token": "admin", "address": "127.0.0.1", "accepted_at": "2026-12-01T03:34:38.872Z", "registry": "default", "dry_run": false, "archives": [{"name": "held.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e"}], "images": [{"destinations": ["127.0.0.1:11185/again/team/one:1"], "digest": "sha256:9f3a1fd7226084b301e2d9b9f5142fc74b77f8ee50342ffeab85be02a3ae9a5f", "state": "pushed", "code": null}]}');
INSERT INTO public.audit VALUES (8, '2026-12-01T03:34:39.208870+00:00', '9e0eb2f3c2ef611756d0e0faf1ed544e', '{"at": "2026-12-01T03:34:39.208Z", "job": "9e0eb2f3c2ef611756d0e0faf1ed544e", "attempt": 1, "outcome": "failed", "code": "missing_tag", "token": "admin", "address": "127.0.0.1", "accepted_at": "2026-12-01T03:34:39.183Z", "registry": "default", "dry_run": false, "archives": [{"name": "nameless-held.tar", "source": "upload", "size": 20480, "digest": "sha256:cee6c4e505c273dd6e1352b700bb236afeba315af75758a84eb958bf2f357cd6"}], "images": []}');
INSERT INTO public.audit VALUES (9, '2026-12-01T03:34:39.422284+00:00', 'bf76ce1acaf6e770e74d9e68f6700f87', '{"at": "2026-12-01T03:34:39.422Z", "job": "bf76ce1acaf6e770e74d9e68f6700f87", "attempt": 1, "outcome": "succeeded", "code": null, "token": "admin", "address": "127.0.0.1", "accepted_at": "2026-12-01T03:34:39.276Z", "registry": "default", "dry_run": false, "archives": [{"name": "tus.tar", "source": "upload", "size": 20480, "digest": "sha256:bb880af6c81d0226b58ff25289f97f8b2c38f342af7ce5233c29cdbf0383a67a"}], "images": [{"destinations": ["127.0.0.1:11185/team/other:1"], "digest": "sha256:27866c9b5632a102927952821035265d60fa529909d6b169b01c07eab4451f04", "state": "pushed", "code": null}]}');
INSERT INTO public.audit VALUES (10, '2026-12-01T03:34:47.235230+00:00', '5d9d3b3cfa6d9c3b50d0cd6e0fb65722', '{"at": "2026-12-01T03:34:47.235Z", "job": "5d9d3b3cfa6d9c3b50d0cd6e0fb65722", "attempt": 1, "outcome": "cancelled", "code": null, "token": "admin", "address": "127.0.0.1", "accepted_at": "2026-12-01T03:34:46.167Z", "registry": "stalled", "dry_run": false, "archives": [{"name": "two.tar", "source": "upload", "size": 30720, "digest": "sha256:7bf62f0cf868a850f17c8172540e1495e41993f8cd13720e06797089b5fef378"}], "images": [{"destinations": ["127.0.0.1:19002/team/a:1"], "digest": null, "state": "cancelled", "code": null}, {"destinations": ["127.0.0.1:19002/team/b:1"], "digest": null, "state": "cancelled", "code": null}]}');
INSERT INTO public.audit VALUES (11, '2026-12-01T03:34:53.540122+00:00', '88203b653551a4327586734bbca8413e', '{"at": "2026-12-01T03:34:53.540Z", "job": "88203b653551a4327586734bbca8413e", "attempt": 1, "outcome": "cancelled", "code": null, "token": "admin", "address": "127.0.0.1", "accepted_at": "2026-12-01T03:34:53.510Z", "registry": "default", "dry_run": false, "archives": [{"name": "one.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e"}], "images": [{"destinations": ["127.0.0.1:11185/later/team/one:1"], "digest": null, "state": "cancelled", "code": null}]}');


--
-- Data for Name: jobs; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.jobs VALUES ('a828ca4f110f8e83a202a7057f5dde48', 'queued', '2026-12-01T03:34:37.828443+00:00', '{"kind": "outage"}', NULL, 17, '{"id": "a828ca4f110f8e83a202a7057f5dde48", "state": "queued", "created_at": "2026-12-01T03:34:37.828443+00:00", "started_at": "2026-12-01T03:34:47.220128+00:00", "finished_at": null, "attempt": 3, "labels": {"kind": "outage"}, "registry": "away", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "one.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/a828ca4f110f8e83a202a7057f5dde48-0.tar", "size": 20480, "owned": true, "identity": [65024, 1671567, 20480, 1796096077840042856], "parts": []}, "expected": null}], "images": [{"archive": "one.tar", "names": ["example.com/team/one:1"], "destinations": ["127.0.0.1:29878/team/one:1"], "digest": null, "media_type": null, "platforms": ["linux/amd64"], "state": "pending", "problem": null}], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 10461, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 2, "blobs_done": 0, "blobs_reused": 0, "images_total": 1, "images_done": 1, "percent": 50.0, "bytes_per_second": 0, "eta_seconds": 0, "blobs_under_way": []}, "notices": ["attempt 2 met an outage (registry_unreachable); attempt 3 follows at 2026-12-01T03:34:54Z"], "inspection": [], "problem": {"code": "registry_unreachable", "title": "The registry cannot be reached", "detail": "http://127.0.0.1:29878 cannot be reached ([Errno 111] Connect call failed (''127.0.0.1'', 29878)); check its address, that it runs, and the network", "origin": "registry", "retryable": true}, "revision": 17, "idempotency_key": null, "fingerprint": "899413f873796d2d8fb188179dbdf5091e60d02da0c117defeb5a040f49715ad", "accepted_at": "2026-12-01T03:34:37.847658+00:00", "next_attempt_at": "2026-12-01T03:34:54.983605+00:00", "paused_at": "2026-12-01T03:34:45.378940+00:00", "starts": 0, "priority": 0, "share": "ci", "submitter": {"name": "ci", "address": "127.0.0.1", "repositories": ["team", "library"]}}', 3, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'ci');
INSERT INTO public.jobs VALUES ('de7e8871f41014f2da1f42044c2abf3c', 'succeeded', '2026-12-01T03:34:37.929181+00:00', '{"kind": "pushed", "team": "a"}', 'ci
golden-1', 16, '{"id": "de7e8871f41014f2da1f42044c2abf3c", "state": "succeeded", "created_at": "2026-12-01T03:34:37.929181+00:00", "started_at": "2026-12-01T03:34:38.052957+00:00", "finished_at": "2026-12-01T03:34:38.249575+00:00", "attempt": 1, "labels": {"kind": "pushed", "team": "a"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "one.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/de7e8871f41014f2da1f42044c2abf3c-0.tar", "size": 20480, "owned": true, "identity": [65024, 1671568, 20480, 1796096077944042858], "parts": []}, "expected": null}], "images": [{"archive": "one.tar", "names": ["example.com/team/one:1"], "destinations": ["127.0.0.1:11185/team/one:1"], "digest": "sha256:9f3a1fd7226084b301e2d9b9f5142fc74b77f8ee50342ffeab85be02a3ae9a5f", "media_type": "application/vnd.docker.distribution.manifest.v2+json", "platforms": ["linux/amd64"], "state": "pushed", "problem": null}], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 10461, "bytes_done": 10461, "bytes_sent": 359, "blobs_total": 2, "blobs_done": 2, "blobs_reused": 0, "images_total": 1, "images_done": 1, "percent": 100.0, "bytes_per_second": 0, "eta_seconds": 0, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 16, "idempotency_key": "ci\ngolden-1", "fingerprint": "bfb2a02230eaefd1887f273b7c58fa2d446ae4fb030978859f11972db0254f70", "accepted_at": "2026-12-01T03:34:37.952209+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "ci", "submitter": {"name": "ci", "address": "127.0.0.1", "repositories": ["team", "library"]}}', 1, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'ci');
INSERT INTO public.jobs VALUES ('50ea5a82359fe5907c69c02db78178a3', 'succeeded', '2026-12-01T03:34:38.275908+00:00', '{"kind": "present"}', NULL, 13, '{"id": "50ea5a82359fe5907c69c02db78178a3", "state": "succeeded", "created_at": "2026-12-01T03:34:38.275908+00:00", "started_at": "2026-12-01T03:34:38.309197+00:00", "finished_at": "2026-12-01T03:34:38.381685+00:00", "attempt": 1, "labels": {"kind": "present"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "one.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/50ea5a82359fe5907c69c02db78178a3-0.tar", "size": 20480, "owned": true, "identity": [65024, 1671568, 20480, 1796096078280042865], "parts": []}, "expected": null}], "images": [{"archive": "one.tar", "names": ["example.com/team/one:1"], "destinations": ["127.0.0.1:11185/team/one:1"], "digest": "sha256:9f3a1fd7226084b301e2d9b9f5142fc74b77f8ee50342ffeab85be02a3ae9a5f", "media_type": "application/vnd.docker.distribution.manifest.v2+json", "platforms": ["linux/amd64"], "state": "already_present", "problem": null}], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 10461, "bytes_done": 10461, "bytes_sent": 0, "blobs_total": 2, "blobs_done": 2, "blobs_reused": 2, "images_total": 1, "images_done": 1, "percent": 100.0, "bytes_per_second": 0, "eta_seconds": 0, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 13, "idempotency_key": null, "fingerprint": "6363918a42f17e3eec0f55b2b95098298ba44ba973105e889744bd9f3d3a0d5e", "accepted_at": "2026-12-01T03:34:38.286196+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('7784596b8fc7d7b12d9806d2a4586edd', 'succeeded', '2026-12-01T03:34:38.413014+00:00', '{"kind": "planned"}', NULL, 14, '{"id": "7784596b8fc7d7b12d9806d2a4586edd", "state": "succeeded", "created_at": "2026-12-01T03:34:38.413014+00:00", "started_at": "2026-12-01T03:34:38.435187+00:00", "finished_at": "2026-12-01T03:34:38.484445+00:00", "attempt": 1, "labels": {"kind": "planned"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "planned", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": true, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "one.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/7784596b8fc7d7b12d9806d2a4586edd-0.tar", "size": 20480, "owned": true, "identity": [65024, 1671568, 20480, 1796096078416042867], "parts": []}, "expected": null}], "images": [{"archive": "one.tar", "names": ["example.com/team/one:1"], "destinations": ["127.0.0.1:11185/planned/team/one:1"], "digest": null, "media_type": null, "platforms": ["linux/amd64"], "state": "planned", "problem": null}], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 10461, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 2, "blobs_done": 0, "blobs_reused": 0, "images_total": 1, "images_done": 1, "percent": 100.0, "bytes_per_second": 0, "eta_seconds": 0, "blobs_under_way": []}, "notices": ["a push would send 2 blobs of 10461 bytes (before compression)"], "inspection": [{"format": "docker-archive", "why": "manifest.json holds docker''s list of images", "producer": "docker save (before 25)", "to_send": 10461, "at_registry": 0, "images": [{"names": ["example.com/team/one:1"], "digest": null, "config": "sha256:9c2d761f6e6d38ea085aeeaaf1b08d0c1f3e7ca558d8de1a036db0339bb64eae", "media_type": null, "platforms": ["linux/amd64"], "created": null, "size": 10240, "layers": [{"digest": null, "diff_id": "sha256:91a2843b0fe354a62686facf94dbfb94a930a93e6327fd2cfacda8012ecc7dd3", "size": 10240, "stored": "none"}], "referrers": [], "attached": [], "evidence": [], "to_send": 10461, "at_registry": 0}], "notices": ["a docker archive has no manifests: those of its images are made anew, so the digests that they had where they came from cannot be restored"]}], "problem": null, "revision": 14, "idempotency_key": null, "fingerprint": "55aacc2d76f66f734179619e54fa916df3f356e092ab64f806e1c090a5acde46", "accepted_at": "2026-12-01T03:34:38.421952+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('200fac1c0853dabec1765a16c5bad975', 'failed', '2026-12-01T03:34:38.553034+00:00', '{}', NULL, 5, '{"id": "200fac1c0853dabec1765a16c5bad975", "state": "failed", "created_at": "2026-12-01T03:34:38.553034+00:00", "started_at": null, "finished_at": "2026-12-01T03:34:38.571065+00:00", "attempt": 1, "labels": {}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "nameless.tar", "source": "upload", "size": 20480, "digest": "sha256:cee6c4e505c273dd6e1352b700bb236afeba315af75758a84eb958bf2f357cd6", "format": "docker-archive", "compression": "none", "file": null, "expected": null}], "images": [], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 50.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": {"code": "missing_tag", "title": "An image has no name to be pushed under", "detail": "image sha256:83c8a194efbdfb13c6a4075c534a3f28261193c26246d0ef8d24fac6916919e8 has no name; pass `tag` (tag=REPO:TAG)", "origin": "request", "retryable": false}, "revision": 5, "idempotency_key": null, "fingerprint": "d22625898d6d2b15ee6e216da6f8d54f4bf84c3bb99525d6b622d75f7a93d014", "accepted_at": null, "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('d2b8c62114ee197de8c59a10dab4df94', 'succeeded', '2026-12-01T03:34:38.740754+00:00', '{"kind": "held"}', NULL, 12, '{"id": "d2b8c62114ee197de8c59a10dab4df94", "state": "succeeded", "created_at": "2026-12-01T03:34:38.740754+00:00", "started_at": "2026-12-01T03:34:38.833691+00:00", "finished_at": "2026-12-01T03:34:38.930858+00:00", "attempt": 1, "labels": {"kind": "held"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "held.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/replicas/ingest-1-1/uploads/a5f353a95a136c33cdb849eb84e4b5bb.tar", "size": 20480, "owned": false, "identity": [65024, 1671568, 20480, 1796096078780042874], "parts": []}, "expected": null}], "images": [{"archive": "held.tar", "names": ["example.com/team/one:1"], "destinations": ["127.0.0.1:11185/team/one:1"], "digest": "sha256:9f3a1fd7226084b301e2d9b9f5142fc74b77f8ee50342ffeab85be02a3ae9a5f", "media_type": "application/vnd.docker.distribution.manifest.v2+json", "platforms": ["linux/amd64"], "state": "already_present", "problem": null}], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 10461, "bytes_done": 10461, "bytes_sent": 0, "blobs_total": 2, "blobs_done": 2, "blobs_reused": 2, "images_total": 1, "images_done": 1, "percent": 100.0, "bytes_per_second": 0, "eta_seconds": 0, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 12, "idempotency_key": null, "fingerprint": null, "accepted_at": "2026-12-01T03:34:38.801081+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('f10783824261dcc7d72f1391f7b1a3ef', 'receiving', '2026-12-01T03:34:39.304903+00:00', '{"kind": "tus-half"}', NULL, 3, '{"id": "f10783824261dcc7d72f1391f7b1a3ef", "state": "receiving", "created_at": "2026-12-01T03:34:39.304903+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {"kind": "tus-half"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "tus-half.tar", "source": "upload", "size": 10240, "digest": null, "format": null, "compression": null, "file": null, "expected": null}], "images": [], "progress": {"bytes_received": 10240, "bytes_expected": 20480, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 25.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 3, "idempotency_key": null, "fingerprint": null, "accepted_at": null, "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('bf2967857422f544b56857d45e712258', 'receiving', '2026-12-01T03:34:39.413086+00:00', '{"kind": "tus-held-half"}', NULL, 3, '{"id": "bf2967857422f544b56857d45e712258", "state": "receiving", "created_at": "2026-12-01T03:34:39.413086+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {"kind": "tus-held-half"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "held", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "tus-held-half.tar", "source": "upload", "size": 10240, "digest": null, "format": null, "compression": null, "file": null, "expected": null}], "images": [], "progress": {"bytes_received": 10240, "bytes_expected": 20480, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 25.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 3, "idempotency_key": null, "fingerprint": null, "accepted_at": null, "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('90579b79a5e4547097b1d2d91f4fb666', 'failed', '2026-12-01T03:34:38.596798+00:00', '{"kind": "corrupt"}', NULL, 14, '{"id": "90579b79a5e4547097b1d2d91f4fb666", "state": "failed", "created_at": "2026-12-01T03:34:38.596798+00:00", "started_at": "2026-12-01T03:34:38.621405+00:00", "finished_at": "2026-12-01T03:34:38.701700+00:00", "attempt": 1, "labels": {"kind": "corrupt"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "corrupt.tar", "source": "upload", "size": 20480, "digest": "sha256:5d17bf0da78c909256b89e4e6940cba00470264e3ce63955b760dde38c1b03a2", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/90579b79a5e4547097b1d2d91f4fb666-0.tar", "size": 20480, "owned": true, "identity": [65024, 1671568, 20480, 1796096078600042871], "parts": []}, "expected": null}], "images": [{"archive": "corrupt.tar", "names": ["example.com/team/corrupt:1"], "destinations": ["127.0.0.1:11185/team/corrupt:1"], "digest": null, "media_type": null, "platforms": ["linux/amd64"], "state": "failed", "problem": {"code": "digest_mismatch", "title": "Content does not have the digest it is named by", "detail": "layer 1 of example.com/team/corrupt:1 does not match its digest: sha256:09c250a6868bdb7c97153a0b2c43498306e2a3e49d3333c6985e4b97a7df4682 is asked for, its bytes have sha256:a7812e6e27b1c6fe0c2846a70396f0ef65dbfa41bed3e5c22c17f368b0b34ec1", "origin": "archive", "retryable": false}}], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 10461, "bytes_done": 221, "bytes_sent": 221, "blobs_total": 2, "blobs_done": 1, "blobs_reused": 0, "images_total": 1, "images_done": 1, "percent": 51.1, "bytes_per_second": 0, "eta_seconds": 0, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": {"code": "digest_mismatch", "title": "Content does not have the digest it is named by", "detail": "layer 1 of example.com/team/corrupt:1 does not match its digest: sha256:09c250a6868bdb7c97153a0b2c43498306e2a3e49d3333c6985e4b97a7df4682 is asked for, its bytes have sha256:a7812e6e27b1c6fe0c2846a70396f0ef65dbfa41bed3e5c22c17f368b0b34ec1", "origin": "archive", "retryable": false}, "revision": 14, "idempotency_key": null, "fingerprint": "c67ed3d76ea8d6f49cb9d0a0740fda211255477cfaa1e7c1345d54432e49820e", "accepted_at": "2026-12-01T03:34:38.609578+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('10e0b97774efb18760e9f9d5850b90e5', 'succeeded', '2026-12-01T03:34:38.872531+00:00', '{"kind": "held-again"}', NULL, 11, '{"id": "10e0b97774efb18760e9f9d5850b90e5", "state": "succeeded", "created_at": "2026-12-01T03:34:38.872531+00:00", "started_at": "2026-12-01T03:34:38.955860+00:00", "finished_at": "2026-12-01T03:34:39.073785+00:00", "attempt": 1, "labels": {"kind": "held-again"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "again", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "held.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/replicas/ingest-1-1/uploads/a5f353a95a136c33cdb849eb84e4b5bb.tar", "size": 20480, "owned": false, "identity": [65024, 1671568, 20480, 1796096078780042874], "parts": []}, "expected": null}], "images": [{"archive": "held.tar", "names": ["example.com/team/one:1"], "destinations": ["127.0.0.1:11185/again/team/one:1"], "digest": "sha256:9f3a1fd7226084b301e2d9b9f5142fc74b77f8ee50342ffeab85be02a3ae9a5f", "media_type": "application/vnd.docker.distribution.manifest.v2+json", "platforms": ["linux/amd64"], "state": "pushed", "problem": null}], "progress": {"bytes_received": 0, "bytes_expected": null, "bytes_total": 10461, "bytes_done": 10461, "bytes_sent": 221, "blobs_total": 2, "blobs_done": 2, "blobs_reused": 1, "images_total": 1, "images_done": 1, "percent": 100.0, "bytes_per_second": 0, "eta_seconds": 0, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 11, "idempotency_key": null, "fingerprint": null, "accepted_at": "2026-12-01T03:34:38.872653+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('f9f010ed50e4d6fd87e91fd9d469dad2', 'running', '2026-12-01T03:34:47.302581+00:00', '{"kind": "running"}', NULL, 9, '{"id": "f9f010ed50e4d6fd87e91fd9d469dad2", "state": "running", "created_at": "2026-12-01T03:34:47.302581+00:00", "started_at": "2026-12-01T03:34:52.667703+00:00", "finished_at": null, "attempt": 1, "labels": {"kind": "running"}, "registry": "stalled", "options": {"tag": null, "rename": [], "prefix": "p1", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "one.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/f9f010ed50e4d6fd87e91fd9d469dad2-0.tar", "size": 20480, "owned": true, "identity": [65024, 1671618, 20480, 1796096087304043041], "parts": []}, "expected": null}], "images": [{"archive": "one.tar", "names": ["example.com/team/one:1"], "destinations": ["127.0.0.1:19002/p1/team/one:1"], "digest": null, "media_type": null, "platforms": ["linux/amd64"], "state": "pending", "problem": null}], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 10461, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 2, "blobs_done": 0, "blobs_reused": 0, "images_total": 1, "images_done": 0, "percent": 50.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 9, "idempotency_key": null, "fingerprint": "1ef512316110ff440cc70f8720b7b5c2b47a56afc77e4ee71dc6d5651856ee69", "accepted_at": "2026-12-01T03:34:47.310513+00:00", "next_attempt_at": null, "paused_at": null, "starts": 1, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('2327ecfd9ac7be29dbaf49c495974084', 'queued', '2026-12-01T03:34:53.444109+00:00', '{"kind": "queued"}', 'admin
golden-2', 5, '{"id": "2327ecfd9ac7be29dbaf49c495974084", "state": "queued", "created_at": "2026-12-01T03:34:53.444109+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {"kind": "queued"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "later", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "two.tar", "source": "upload", "size": 30720, "digest": "sha256:7bf62f0cf868a850f17c8172540e1495e41993f8cd13720e06797089b5fef378", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/2327ecfd9ac7be29dbaf49c495974084-0.tar", "size": 30720, "owned": true, "identity": [65024, 1671619, 30720, 1796096093448043161], "parts": []}, "expected": null}], "images": [{"archive": "two.tar", "names": ["example.com/team/a:1"], "destinations": ["127.0.0.1:11185/later/team/a:1"], "digest": null, "media_type": null, "platforms": ["linux/amd64"], "state": "pending", "problem": null}, {"archive": "two.tar", "names": ["example.com/team/b:1"], "destinations": ["127.0.0.1:11185/later/team/b:1"], "digest": null, "media_type": null, "platforms": ["linux/amd64"], "state": "pending", "problem": null}], "progress": {"bytes_received": 30720, "bytes_expected": 30720, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 50.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 5, "idempotency_key": "admin\ngolden-2", "fingerprint": "6892f0d5d4761390b4ecf5de6fd3ef9eb0bb5dd5bbef0ad29eaac46d4d30731d", "accepted_at": "2026-12-01T03:34:53.458697+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 1, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('9e0eb2f3c2ef611756d0e0faf1ed544e', 'failed', '2026-12-01T03:34:39.120938+00:00', '{"kind": "held-nameless"}', NULL, 8, '{"id": "9e0eb2f3c2ef611756d0e0faf1ed544e", "state": "failed", "created_at": "2026-12-01T03:34:39.120938+00:00", "started_at": "2026-12-01T03:34:39.204189+00:00", "finished_at": "2026-12-01T03:34:39.208870+00:00", "attempt": 1, "labels": {"kind": "held-nameless"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "nameless-held.tar", "source": "upload", "size": 20480, "digest": "sha256:cee6c4e505c273dd6e1352b700bb236afeba315af75758a84eb958bf2f357cd6", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/replicas/ingest-1-1/uploads/5890fd5ed50c36f66433767780f686a2.tar", "size": 20480, "owned": false, "identity": [65024, 1671581, 20480, 1796096079172042882], "parts": []}, "expected": null}], "images": [], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 50.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": {"code": "missing_tag", "title": "An image has no name to be pushed under", "detail": "image sha256:83c8a194efbdfb13c6a4075c534a3f28261193c26246d0ef8d24fac6916919e8 has no name; pass `tag` (tag=REPO:TAG)", "origin": "request", "retryable": false}, "revision": 8, "idempotency_key": null, "fingerprint": null, "accepted_at": "2026-12-01T03:34:39.183887+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('bf76ce1acaf6e770e74d9e68f6700f87', 'succeeded', '2026-12-01T03:34:39.230568+00:00', '{"kind": "tus"}', NULL, 15, '{"id": "bf76ce1acaf6e770e74d9e68f6700f87", "state": "succeeded", "created_at": "2026-12-01T03:34:39.230568+00:00", "started_at": "2026-12-01T03:34:39.290314+00:00", "finished_at": "2026-12-01T03:34:39.422284+00:00", "attempt": 1, "labels": {"kind": "tus"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "tus.tar", "source": "upload", "size": 20480, "digest": "sha256:bb880af6c81d0226b58ff25289f97f8b2c38f342af7ce5233c29cdbf0383a67a", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/bf76ce1acaf6e770e74d9e68f6700f87-0.tar", "size": 20480, "owned": true, "identity": [65024, 1671584, 20480, 1796096079260042884], "parts": []}, "expected": null}], "images": [{"archive": "tus.tar", "names": ["example.com/team/other:1"], "destinations": ["127.0.0.1:11185/team/other:1"], "digest": "sha256:27866c9b5632a102927952821035265d60fa529909d6b169b01c07eab4451f04", "media_type": "application/vnd.docker.distribution.manifest.v2+json", "platforms": ["linux/amd64"], "state": "pushed", "problem": null}], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 10466, "bytes_done": 10466, "bytes_sent": 365, "blobs_total": 2, "blobs_done": 2, "blobs_reused": 0, "images_total": 1, "images_done": 1, "percent": 100.0, "bytes_per_second": 0, "eta_seconds": 0, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 15, "idempotency_key": null, "fingerprint": "e55cd75d8bba361e1e725ad807a511d7d901f786e9307e1509dd5c084d8747dd", "accepted_at": "2026-12-01T03:34:39.276509+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('90296fe51c01b9801b87e076d9aaa982', 'running', '2026-12-01T03:34:47.256790+00:00', '{"kind": "running"}', NULL, 9, '{"id": "90296fe51c01b9801b87e076d9aaa982", "state": "running", "created_at": "2026-12-01T03:34:47.256790+00:00", "started_at": "2026-12-01T03:34:47.281139+00:00", "finished_at": null, "attempt": 1, "labels": {"kind": "running"}, "registry": "stalled", "options": {"tag": null, "rename": [], "prefix": "p0", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "one.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/90296fe51c01b9801b87e076d9aaa982-0.tar", "size": 20480, "owned": true, "identity": [65024, 1671617, 20480, 1796096087260043040], "parts": []}, "expected": null}], "images": [{"archive": "one.tar", "names": ["example.com/team/one:1"], "destinations": ["127.0.0.1:19002/p0/team/one:1"], "digest": null, "media_type": null, "platforms": ["linux/amd64"], "state": "pending", "problem": null}], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 10461, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 2, "blobs_done": 0, "blobs_reused": 0, "images_total": 1, "images_done": 0, "percent": 50.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 9, "idempotency_key": null, "fingerprint": "3a15f6a927e6fa2017728ca3b4e0668837c01e3a645a08243b15ebabda745ad7", "accepted_at": "2026-12-01T03:34:47.265107+00:00", "next_attempt_at": null, "paused_at": null, "starts": 1, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('3ec9766aad2c555e9fcbf322967a0b40', 'queued', '2026-12-01T03:34:53.478905+00:00', '{"kind": "queued-path"}', NULL, 1, '{"id": "3ec9766aad2c555e9fcbf322967a0b40", "state": "queued", "created_at": "2026-12-01T03:34:53.478905+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {"kind": "queued-path"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "later", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "other.tar", "source": "path", "size": 20480, "digest": null, "format": null, "compression": null, "file": {"path": "/srv/tarmac/in/other.tar", "size": 20480, "owned": false, "identity": [65024, 1671172, 20480, 1796096072042856340], "parts": []}, "expected": "sha256:bb880af6c81d0226b58ff25289f97f8b2c38f342af7ce5233c29cdbf0383a67a"}], "images": [], "progress": {"bytes_received": 0, "bytes_expected": null, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 0.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 1, "idempotency_key": null, "fingerprint": "b5d38a36da757b46716aa70fd3c055e7e2b29fba871f8ceadaf1866df60a4261", "accepted_at": "2026-12-01T03:34:53.479058+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('5d9d3b3cfa6d9c3b50d0cd6e0fb65722', 'cancelled', '2026-12-01T03:34:46.149415+00:00', '{"kind": "cancelled-running"}', NULL, 12, '{"id": "5d9d3b3cfa6d9c3b50d0cd6e0fb65722", "state": "cancelled", "created_at": "2026-12-01T03:34:46.149415+00:00", "started_at": "2026-12-01T03:34:46.179243+00:00", "finished_at": "2026-12-01T03:34:47.235230+00:00", "attempt": 1, "labels": {"kind": "cancelled-running"}, "registry": "stalled", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "two.tar", "source": "upload", "size": 30720, "digest": "sha256:7bf62f0cf868a850f17c8172540e1495e41993f8cd13720e06797089b5fef378", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/5d9d3b3cfa6d9c3b50d0cd6e0fb65722-0.tar", "size": 30720, "owned": true, "identity": [65024, 1671615, 30720, 1796096086152043018], "parts": []}, "expected": null}], "images": [{"archive": "two.tar", "names": ["example.com/team/a:1"], "destinations": ["127.0.0.1:19002/team/a:1"], "digest": null, "media_type": null, "platforms": ["linux/amd64"], "state": "cancelled", "problem": null}, {"archive": "two.tar", "names": ["example.com/team/b:1"], "destinations": ["127.0.0.1:19002/team/b:1"], "digest": null, "media_type": null, "platforms": ["linux/amd64"], "state": "cancelled", "problem": null}], "progress": {"bytes_received": 30720, "bytes_expected": 30720, "bytes_total": 20924, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 4, "blobs_done": 0, "blobs_reused": 0, "images_total": 2, "images_done": 2, "percent": 50.0, "bytes_per_second": 0, "eta_seconds": 0, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 12, "idempotency_key": null, "fingerprint": "7d29f0b9deac857e7674f9de39a5fe2d9927113214199a8b9f37019affa04ec3", "accepted_at": "2026-12-01T03:34:46.167048+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('895493be4498a97b8f2630633b86ec31', 'receiving', '2026-12-01T03:34:39.631933+00:00', '{"kind": "tus-deferred"}', NULL, 3, '{"id": "895493be4498a97b8f2630633b86ec31", "state": "receiving", "created_at": "2026-12-01T03:34:39.631933+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {"kind": "tus-deferred"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "tus-deferred.tar", "source": "upload", "size": 1024, "digest": null, "format": null, "compression": null, "file": null, "expected": null}], "images": [], "progress": {"bytes_received": 1024, "bytes_expected": null, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 0.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 3, "idempotency_key": null, "fingerprint": null, "accepted_at": null, "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('10e104512daf8b8f6832eb235c7e6db5', 'receiving', '2026-12-01T03:34:39.571886+00:00', '{"kind": "tus-checksum-half"}', NULL, 3, '{"id": "10e104512daf8b8f6832eb235c7e6db5", "state": "receiving", "created_at": "2026-12-01T03:34:39.571886+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {"kind": "tus-checksum-half"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "tus-checksum-half.tar", "source": "upload", "size": 10240, "digest": null, "format": null, "compression": null, "file": null, "expected": null}], "images": [], "progress": {"bytes_received": 10240, "bytes_expected": 20480, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 25.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 3, "idempotency_key": null, "fingerprint": null, "accepted_at": null, "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('88203b653551a4327586734bbca8413e', 'cancelled', '2026-12-01T03:34:53.498927+00:00', '{"kind": "cancelled"}', NULL, 6, '{"id": "88203b653551a4327586734bbca8413e", "state": "cancelled", "created_at": "2026-12-01T03:34:53.498927+00:00", "started_at": null, "finished_at": "2026-12-01T03:34:53.540122+00:00", "attempt": 1, "labels": {"kind": "cancelled"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "later", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "one.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/88203b653551a4327586734bbca8413e-0.tar", "size": 20480, "owned": true, "identity": [65024, 1671620, 20480, 1796096093504043162], "parts": []}, "expected": null}], "images": [{"archive": "one.tar", "names": ["example.com/team/one:1"], "destinations": ["127.0.0.1:11185/later/team/one:1"], "digest": null, "media_type": null, "platforms": ["linux/amd64"], "state": "cancelled", "problem": null}], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 50.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 6, "idempotency_key": null, "fingerprint": "bc3cceadac4dbcd774f3f9b099adaa640bb127e0c4018350ce0abf1e0b6d2f2c", "accepted_at": "2026-12-01T03:34:53.510542+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('70994364fdf0d898f0b5c69658f470d6', 'receiving', '2026-12-01T03:34:39.499210+00:00', '{"kind": "tus-gzip-half"}', NULL, 3, '{"id": "70994364fdf0d898f0b5c69658f470d6", "state": "receiving", "created_at": "2026-12-01T03:34:39.499210+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {"kind": "tus-gzip-half"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "gzip", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "tus-gzip-half.tar", "source": "upload", "size": 293, "digest": null, "format": null, "compression": null, "file": null, "expected": null}], "images": [], "progress": {"bytes_received": 293, "bytes_expected": 586, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 25.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 3, "idempotency_key": null, "fingerprint": null, "accepted_at": null, "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('a8b5ce4f71ea581ce0198da08c98efef', 'receiving', '2026-12-01T03:34:39.719141+00:00', '{"kind": "tus-empty"}', NULL, 2, '{"id": "a8b5ce4f71ea581ce0198da08c98efef", "state": "receiving", "created_at": "2026-12-01T03:34:39.719141+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {"kind": "tus-empty"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "tus-empty.tar", "source": "upload", "size": 0, "digest": null, "format": null, "compression": null, "file": null, "expected": null}], "images": [], "progress": {"bytes_received": 0, "bytes_expected": 20480, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 0.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 2, "idempotency_key": null, "fingerprint": null, "accepted_at": null, "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('f023117438305c89ae35f2ff9f48481c', 'receiving', '2026-12-01T03:34:39.863906+00:00', '{}', NULL, 2, '{"id": "f023117438305c89ae35f2ff9f48481c", "state": "receiving", "created_at": "2026-12-01T03:34:39.863906+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "draft.tar", "source": "upload", "size": 2048, "digest": null, "format": null, "compression": null, "file": null, "expected": null}], "images": [], "progress": {"bytes_received": 2048, "bytes_expected": null, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 0.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 2, "idempotency_key": null, "fingerprint": null, "accepted_at": null, "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('7b406a0fddaca7e9422e37e643a11932', 'queued', '2026-12-01T03:34:53.563286+00:00', '{"kind": "tus-queued"}', NULL, 4, '{"id": "7b406a0fddaca7e9422e37e643a11932", "state": "queued", "created_at": "2026-12-01T03:34:53.563286+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {"kind": "tus-queued"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "queued", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "tus-queued.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e", "format": "docker-archive", "compression": "none", "file": {"path": "/srv/tarmac/data/spool/7b406a0fddaca7e9422e37e643a11932-0.tar", "size": 20480, "owned": true, "identity": [65024, 1671203, 20480, 1796096093592043163], "parts": []}, "expected": null}], "images": [{"archive": "tus-queued.tar", "names": ["example.com/team/one:1"], "destinations": ["127.0.0.1:11185/queued/team/one:1"], "digest": null, "media_type": null, "platforms": ["linux/amd64"], "state": "pending", "problem": null}], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 50.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 4, "idempotency_key": null, "fingerprint": "294fdfc484406f8ea2a765fb4f6bdf66f993f408627285680e580fbf0a8c18e0", "accepted_at": "2026-12-01T03:34:53.601657+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '0e5c075c5007470285eab320b4f70b25', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('076383267a9019d09c17504cfe684b0c', 'receiving', '2026-12-01T03:34:53.681613+00:00', '{"kind": "unproven"}', NULL, 3, '{"id": "076383267a9019d09c17504cfe684b0c", "state": "receiving", "created_at": "2026-12-01T03:34:53.681613+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {"kind": "unproven"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "unproven.tar", "source": "upload", "size": 1000, "digest": null, "format": null, "compression": null, "file": null, "expected": null}], "images": [], "progress": {"bytes_received": 1000, "bytes_expected": 20480, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 2.4, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 3, "idempotency_key": null, "fingerprint": null, "accepted_at": null, "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('7aeb36872f9ffd7a523536df941275c4', 'queued', '2026-12-01T03:34:53.625138+00:00', '{"kind": "held-queued"}', NULL, 4, '{"id": "7aeb36872f9ffd7a523536df941275c4", "state": "queued", "created_at": "2026-12-01T03:34:53.625138+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {"kind": "held-queued"}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "queued", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "held-queued.tar", "source": "upload", "size": 20480, "digest": "sha256:72f2c2ec63b9d4f3757b04e3fbe61092597a7e76eb3b02b638be3d60dfa7775e", "format": null, "compression": "none", "file": {"path": "/srv/tarmac/data/replicas/ingest-1-1/uploads/2af69d28aec97bcb1dcc5e5b536129fa.tar", "size": 20480, "owned": false, "identity": [65024, 1671218, 20480, 1796096093652043165], "parts": []}, "expected": null}], "images": [], "progress": {"bytes_received": 20480, "bytes_expected": 20480, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 50.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 4, "idempotency_key": null, "fingerprint": null, "accepted_at": "2026-12-01T03:34:53.659308+00:00", "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');
INSERT INTO public.jobs VALUES ('d8baef18946febd76ee8875294f3b836', 'receiving', '2026-12-01T03:34:53.724921+00:00', '{}', NULL, 2, '{"id": "d8baef18946febd76ee8875294f3b836", "state": "receiving", "created_at": "2026-12-01T03:34:53.724921+00:00", "started_at": null, "finished_at": null, "attempt": 1, "labels": {}, "registry": "default", "options": {"tag": null, "rename": [], "prefix": "", "images": [], "platforms": [], "layer_compression": "gzip", "format": null, "dry_run": false, "on_existing_tag": "overwrite", "media_types": "keep", "allow_missing": false, "verify": null}, "archives": [{"name": "raw.tar", "source": "upload", "size": 10240, "digest": null, "format": null, "compression": null, "file": null, "expected": null}], "images": [], "progress": {"bytes_received": 10240, "bytes_expected": 20480, "bytes_total": 0, "bytes_done": 0, "bytes_sent": 0, "blobs_total": 0, "blobs_done": 0, "blobs_reused": 0, "images_total": 0, "images_done": 0, "percent": 25.0, "bytes_per_second": 0, "eta_seconds": null, "blobs_under_way": []}, "notices": [], "inspection": [], "problem": null, "revision": 2, "idempotency_key": null, "fingerprint": null, "accepted_at": null, "next_attempt_at": null, "paused_at": null, "starts": 0, "priority": 0, "share": "admin", "submitter": {"name": "admin", "address": "127.0.0.1", "repositories": []}}', 1, '', '0e5c075c5007470285eab320b4f70b25/ingest-1-1', 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', 'admin');


--
-- Data for Name: replicas; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.replicas VALUES ('a23b6952-2ba1-4466-8c28-62bf9f4243f9', '2026-12-01 03:34:53.841834+00');


--
-- Data for Name: tags; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.tags VALUES ('127.0.0.1:11185/team/corrupt:1', '', 1, '');
INSERT INTO public.tags VALUES ('127.0.0.1:11185/team/one:1', '', 1, '2026-12-01T03:34:38.801081+00:00 d2b8c62114ee197de8c59a10dab4df94');
INSERT INTO public.tags VALUES ('127.0.0.1:11185/again/team/one:1', '', 1, '2026-12-01T03:34:38.872653+00:00 10e0b97774efb18760e9f9d5850b90e5');
INSERT INTO public.tags VALUES ('127.0.0.1:11185/team/other:1', '', 1, '2026-12-01T03:34:39.276509+00:00 bf76ce1acaf6e770e74d9e68f6700f87');
INSERT INTO public.tags VALUES ('127.0.0.1:19002/team/a:1', '', 1, '');
INSERT INTO public.tags VALUES ('127.0.0.1:19002/team/b:1', '', 1, '');
INSERT INTO public.tags VALUES ('127.0.0.1:19002/p0/team/one:1', '90296fe51c01b9801b87e076d9aaa982', 1, '');
INSERT INTO public.tags VALUES ('127.0.0.1:29878/team/one:1', '', 2, '');
INSERT INTO public.tags VALUES ('127.0.0.1:19002/p1/team/one:1', 'f9f010ed50e4d6fd87e91fd9d469dad2', 1, '');


--
-- Data for Name: tarmac_pgqueuer; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.tarmac_pgqueuer VALUES (1, 0, NULL, '2026-12-01 03:34:37.904289+00', '2026-12-01 03:34:47.214004+00', '2026-12-01 03:34:51.695443+00', '2026-12-01 03:34:54.985876+00', 'queued', 'tarmac:0e5c075c5007470285eab320b4f70b25', 'a828ca4f110f8e83a202a7057f5dde48', '\x6138323863613466313130663865383361323032613730353766356464653438', '{"share": "ci"}', 0, NULL);
INSERT INTO public.tarmac_pgqueuer VALUES (15, 9998, NULL, '2026-12-01 03:34:53.464768+00', '2026-12-01 03:34:53.464768+00', '2026-12-01 03:34:53.464768+00', '2026-12-01 03:34:53.464768+00', 'queued', 'tarmac:0e5c075c5007470285eab320b4f70b25', '2327ecfd9ac7be29dbaf49c495974084', '\x3233323765636664396163376265323964626166343963343935393734303834', '{"share": "admin"}', 0, NULL);
INSERT INTO public.tarmac_pgqueuer VALUES (16, -3, NULL, '2026-12-01 03:34:53.484749+00', '2026-12-01 03:34:53.484749+00', '2026-12-01 03:34:53.484749+00', '2026-12-01 03:34:53.484749+00', 'queued', 'tarmac', '3ec9766aad2c555e9fcbf322967a0b40', '\x3365633937363661616432633535356539666362663332323936376130623430', '{"share": "admin"}', 0, NULL);
INSERT INTO public.tarmac_pgqueuer VALUES (18, -4, NULL, '2026-12-01 03:34:53.607688+00', '2026-12-01 03:34:53.607688+00', '2026-12-01 03:34:53.607688+00', '2026-12-01 03:34:53.607688+00', 'queued', 'tarmac:0e5c075c5007470285eab320b4f70b25', '7b406a0fddaca7e9422e37e643a11932', '\x3762343036613066646461636137653934323265333765363433613131393332', '{"share": "admin"}', 0, NULL);
INSERT INTO public.tarmac_pgqueuer VALUES (19, -5, NULL, '2026-12-01 03:34:53.66346+00', '2026-12-01 03:34:53.66346+00', '2026-12-01 03:34:53.66346+00', '2026-12-01 03:34:53.66346+00', 'queued', 'tarmac', '7aeb36872f9ffd7a523536df941275c4', '\x3761656233363837326639666664376135323335333664663934313237356334', '{"share": "admin"}', 0, NULL);
INSERT INTO public.tarmac_pgqueuer VALUES (12, 0, 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', '2026-12-01 03:34:47.276969+00', '2026-12-01 03:34:47.278055+00', '2026-12-01 03:34:53.697333+00', '2026-12-01 03:34:47.276969+00', 'picked', 'tarmac:0e5c075c5007470285eab320b4f70b25', '90296fe51c01b9801b87e076d9aaa982', '\x3930323936666535316330316239383031623837653037366439616161393832', '{"share": "admin"}', 0, NULL);
INSERT INTO public.tarmac_pgqueuer VALUES (13, -1, 'a23b6952-2ba1-4466-8c28-62bf9f4243f9', '2026-12-01 03:34:47.314838+00', '2026-12-01 03:34:52.661399+00', '2026-12-01 03:34:53.697333+00', '2026-12-01 03:34:47.314838+00', 'picked', 'tarmac:0e5c075c5007470285eab320b4f70b25', 'f9f010ed50e4d6fd87e91fd9d469dad2', '\x6639663031306564353065346436666438376539316664396434363964616432', '{"share": "admin"}', 0, NULL);


--
-- Data for Name: tarmac_pgqueuer_log; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.tarmac_pgqueuer_log VALUES (1, '2026-12-01 03:34:37.904289+00', 1, 'queued', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (2, '2026-12-01 03:34:37.941889+00', 1, 'picked', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (3, '2026-12-01 03:34:38.001314+00', 2, 'queued', -1, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (4, '2026-12-01 03:34:38.002917+00', 2, 'picked', -1, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (5, '2026-12-01 03:34:38.291051+00', 3, 'queued', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (6, '2026-12-01 03:34:38.293079+00', 3, 'picked', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (7, '2026-12-01 03:34:38.429658+00', 4, 'queued', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (8, '2026-12-01 03:34:38.430642+00', 4, 'picked', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (9, '2026-12-01 03:34:38.614886+00', 5, 'queued', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (10, '2026-12-01 03:34:38.615943+00', 5, 'picked', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (11, '2026-12-01 03:34:38.813798+00', 6, 'queued', 0, 'tarmac', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (12, '2026-12-01 03:34:38.814798+00', 6, 'picked', 0, 'tarmac', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (13, '2026-12-01 03:34:38.901895+00', 7, 'queued', -1, 'tarmac', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (14, '2026-12-01 03:34:38.939526+00', 7, 'picked', -1, 'tarmac', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (15, '2026-12-01 03:34:39.194703+00', 8, 'queued', 0, 'tarmac', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (16, '2026-12-01 03:34:39.197243+00', 8, 'picked', 0, 'tarmac', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (17, '2026-12-01 03:34:39.28152+00', 9, 'queued', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (18, '2026-12-01 03:34:39.283703+00', 9, 'picked', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (19, '2026-12-01 03:34:46.172006+00', 11, 'queued', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (20, '2026-12-01 03:34:46.172934+00', 11, 'picked', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (21, '2026-12-01 03:34:47.214004+00', 1, 'picked', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (22, '2026-12-01 03:34:47.276969+00', 12, 'queued', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (23, '2026-12-01 03:34:47.278055+00', 12, 'picked', 0, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (24, '2026-12-01 03:34:47.314838+00', 13, 'queued', -1, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (25, '2026-12-01 03:34:52.661399+00', 13, 'picked', -1, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (26, '2026-12-01 03:34:53.464768+00', 15, 'queued', 9998, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (27, '2026-12-01 03:34:53.484749+00', 16, 'queued', -3, 'tarmac', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (28, '2026-12-01 03:34:53.515509+00', 17, 'queued', -4, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (29, '2026-12-01 03:34:53.607688+00', 18, 'queued', -4, 'tarmac:0e5c075c5007470285eab320b4f70b25', NULL, false);
INSERT INTO public.tarmac_pgqueuer_log VALUES (30, '2026-12-01 03:34:53.66346+00', 19, 'queued', -5, 'tarmac', NULL, false);


--
-- Data for Name: tarmac_pgqueuer_schedules; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: tarmac_pgqueuer_statistics; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Name: audit_number_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.audit_number_seq', 11, true);


--
-- Name: tarmac_pgqueuer_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.tarmac_pgqueuer_id_seq', 19, true);


--
-- Name: tarmac_pgqueuer_log_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.tarmac_pgqueuer_log_id_seq', 30, true);


--
-- Name: tarmac_pgqueuer_schedules_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.tarmac_pgqueuer_schedules_id_seq', 1, false);


--
-- Name: tarmac_pgqueuer_statistics_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.tarmac_pgqueuer_statistics_id_seq', 1, false);


--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: audit audit_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (number);


--
-- Name: jobs jobs_idempotency_key_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_idempotency_key_key UNIQUE (idempotency_key);


--
-- Name: jobs jobs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);


--
-- Name: replicas replicas_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.replicas
    ADD CONSTRAINT replicas_pkey PRIMARY KEY (id);


--
-- Name: tags tags_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tags
    ADD CONSTRAINT tags_pkey PRIMARY KEY (name);


--
-- Name: tarmac_pgqueuer_log tarmac_pgqueuer_log_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tarmac_pgqueuer_log
    ADD CONSTRAINT tarmac_pgqueuer_log_pkey PRIMARY KEY (id);


--
-- Name: tarmac_pgqueuer tarmac_pgqueuer_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tarmac_pgqueuer
    ADD CONSTRAINT tarmac_pgqueuer_pkey PRIMARY KEY (id);


--
-- Name: tarmac_pgqueuer_schedules tarmac_pgqueuer_schedules_expression_entrypoint_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tarmac_pgqueuer_schedules
    ADD CONSTRAINT tarmac_pgqueuer_schedules_expression_entrypoint_key UNIQUE (expression, entrypoint);


--
-- Name: tarmac_pgqueuer_schedules tarmac_pgqueuer_schedules_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tarmac_pgqueuer_schedules
    ADD CONSTRAINT tarmac_pgqueuer_schedules_pkey PRIMARY KEY (id);


--
-- Name: tarmac_pgqueuer_statistics tarmac_pgqueuer_statistics_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tarmac_pgqueuer_statistics
    ADD CONSTRAINT tarmac_pgqueuer_statistics_pkey PRIMARY KEY (id);


--
-- Name: audit_by_time; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX audit_by_time ON public.audit USING btree (at);


--
-- Name: jobs_by_state; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX jobs_by_state ON public.jobs USING btree (state, created_at, id);


--
-- Name: jobs_by_submitter; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX jobs_by_submitter ON public.jobs USING btree (submitter, created_at, id);


--
-- Name: jobs_newest; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX jobs_newest ON public.jobs USING btree (created_at, id);


--
-- Name: tarmac_pgqueuer_ep_ea_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tarmac_pgqueuer_ep_ea_idx ON public.tarmac_pgqueuer USING btree (entrypoint, execute_after) WHERE (status = 'queued'::public.tarmac_pgqueuer_status);


--
-- Name: tarmac_pgqueuer_ep_prio_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tarmac_pgqueuer_ep_prio_id_idx ON public.tarmac_pgqueuer USING btree (entrypoint, priority DESC, id) WHERE (status = 'queued'::public.tarmac_pgqueuer_status);


--
-- Name: tarmac_pgqueuer_log_created; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tarmac_pgqueuer_log_created ON public.tarmac_pgqueuer_log USING btree (created);


--
-- Name: tarmac_pgqueuer_log_job_id_status; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tarmac_pgqueuer_log_job_id_status ON public.tarmac_pgqueuer_log USING btree (job_id, created DESC);


--
-- Name: tarmac_pgqueuer_log_not_aggregated; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tarmac_pgqueuer_log_not_aggregated ON public.tarmac_pgqueuer_log USING btree ((1)) WHERE (NOT aggregated);


--
-- Name: tarmac_pgqueuer_log_status; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tarmac_pgqueuer_log_status ON public.tarmac_pgqueuer_log USING btree (status);


--
-- Name: tarmac_pgqueuer_picked_heartbeat_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tarmac_pgqueuer_picked_heartbeat_idx ON public.tarmac_pgqueuer USING btree (heartbeat) WHERE (status = 'picked'::public.tarmac_pgqueuer_status);


--
-- Name: tarmac_pgqueuer_picked_slot_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX tarmac_pgqueuer_picked_slot_idx ON public.tarmac_pgqueuer USING btree (entrypoint, slot) WHERE ((status = 'picked'::public.tarmac_pgqueuer_status) AND (slot IS NOT NULL));


--
-- Name: tarmac_pgqueuer_priority_id_id1_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tarmac_pgqueuer_priority_id_id1_idx ON public.tarmac_pgqueuer USING btree (priority, id DESC) INCLUDE (id) WHERE (status = 'queued'::public.tarmac_pgqueuer_status);


--
-- Name: tarmac_pgqueuer_queue_manager_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tarmac_pgqueuer_queue_manager_id_idx ON public.tarmac_pgqueuer USING btree (queue_manager_id) WHERE (queue_manager_id IS NOT NULL);


--
-- Name: tarmac_pgqueuer_statistics_unique_count; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX tarmac_pgqueuer_statistics_unique_count ON public.tarmac_pgqueuer_statistics USING btree (priority, date_trunc('sec'::text, timezone('UTC'::text, created)), status, entrypoint);


--
-- Name: tarmac_pgqueuer_unique_dedupe_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX tarmac_pgqueuer_unique_dedupe_key ON public.tarmac_pgqueuer USING btree (dedupe_key) WHERE ((status = ANY (ARRAY['queued'::public.tarmac_pgqueuer_status, 'picked'::public.tarmac_pgqueuer_status])) AND (dedupe_key IS NOT NULL));


--
-- Name: tarmac_pgqueuer_updated_id_id1_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tarmac_pgqueuer_updated_id_id1_idx ON public.tarmac_pgqueuer USING btree (updated, id DESC) INCLUDE (id) WHERE (status = 'picked'::public.tarmac_pgqueuer_status);


--
-- Name: audit audit_kept; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER audit_kept BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit FOR EACH STATEMENT EXECUTE FUNCTION public.tarmac_audit_kept();


--
-- Name: tarmac_pgqueuer tarmac_tg_pgqueuer_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER tarmac_tg_pgqueuer_changed AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON public.tarmac_pgqueuer FOR EACH STATEMENT EXECUTE FUNCTION public.tarmac_fn_pgqueuer_changed();


--
-- PostgreSQL database dump complete
--


